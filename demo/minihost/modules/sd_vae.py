"""VAE files: one beside the checkpoint, or the one chosen in the settings; the checkpoint's own is kept and put back."""
import collections
import os
from dataclasses import dataclass

from modules import devices, hashes, paths, script_callbacks, sd_models, shared

vae_path = os.path.abspath(os.path.join(paths.models_path, "VAE"))
vae_dict = {}
base_vae = None
loaded_vae_file = None
checkpoint_info = None
checkpoints_loaded = collections.OrderedDict()
unspecified = object()


@dataclass
class VaeResolution:
    vae: str = None
    source: str = None
    resolved: bool = True

    def tuple(self):
        return self.vae, self.source


def get_loaded_vae_name():
    return None if loaded_vae_file is None else os.path.basename(loaded_vae_file)


def get_loaded_vae_hash():
    return None if loaded_vae_file is None else hashes.sha256(loaded_vae_file, "vae")[:10]


def get_filename(filepath):
    return os.path.basename(filepath)


def refresh_vae_list():
    vae_dict.clear()
    for path in shared.walk_files(vae_path, [".pt", ".ckpt", ".safetensors"]):
        vae_dict[get_filename(path)] = path


def find_vae_near_checkpoint(checkpoint_file):
    stem = os.path.basename(checkpoint_file).rsplit(".", 1)[0]
    return next((path for name, path in vae_dict.items() if name.startswith(stem)), None)


def is_automatic():
    return shared.opts.sd_vae in ("Automatic", "auto")


def resolve_vae(checkpoint_file) -> VaeResolution:
    if shared.cmd_opts.vae_path is not None:
        return VaeResolution(shared.cmd_opts.vae_path, "from --vae-path")
    if is_automatic():
        return VaeResolution(find_vae_near_checkpoint(checkpoint_file), "beside the checkpoint")
    return VaeResolution(vae_dict.get(shared.opts.sd_vae), "from the settings")


def store_base_vae(model):
    global base_vae, checkpoint_info
    if checkpoint_info != model.sd_checkpoint_info:
        base_vae = {key: value.clone() for key, value in model.first_stage_model.state_dict().items()}
        checkpoint_info = model.sd_checkpoint_info


def delete_base_vae():
    global base_vae, checkpoint_info
    base_vae = checkpoint_info = None


def restore_base_vae(model):
    global loaded_vae_file
    if base_vae is not None and checkpoint_info == model.sd_checkpoint_info:
        _load_vae_dict(model, base_vae)
        loaded_vae_file = None
    delete_base_vae()


def load_vae_dict(filename, map_location):
    tensors = sd_models.read_state_dict(filename, map_location=map_location)
    return {key: value for key, value in tensors.items() if not key.startswith(("loss", "model_ema."))}


def load_vae(model, vae_file=None, vae_source="from unknown source"):
    global loaded_vae_file
    if vae_file:
        store_base_vae(model)
        _load_vae_dict(model, load_vae_dict(vae_file, shared.weight_load_location))
    elif loaded_vae_file:
        restore_base_vae(model)
    loaded_vae_file = vae_file
    model.base_vae, model.loaded_vae_file = base_vae, vae_file


def _load_vae_dict(model, vae_dict_1):
    model.first_stage_model.load_state_dict(vae_dict_1)
    model.first_stage_model.to(devices.dtype_vae)


def clear_loaded_vae():
    global loaded_vae_file
    loaded_vae_file = None


def reload_vae_weights(sd_model=None, vae_file=unspecified):
    sd_model = sd_model or shared.sd_model
    if vae_file is unspecified:
        vae_file, _ = resolve_vae(sd_model.sd_checkpoint_info.filename).tuple()
    if vae_file == loaded_vae_file:
        return None
    load_vae(sd_model, vae_file)
    script_callbacks.model_loaded_callback(sd_model)
    return sd_model
