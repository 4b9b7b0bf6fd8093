"""VAE files: one beside the checkpoint, or the one chosen in the settings; the checkpoint's own is kept and put back."""
import os
from dataclasses import dataclass
from pathlib import Path

from modules import devices, hashes, paths, script_callbacks, sd_models, shared

vae_path = str(Path(paths.models_path, "VAE").absolute())
vae_dict = {}
base_vae = None
loaded_vae_file = None
checkpoint_info = None
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
    flag = shared.cmd_opts.vae_path
    if flag:
        return VaeResolution(flag, "from --vae-path")
    if is_automatic():
        return VaeResolution(find_vae_near_checkpoint(checkpoint_file), "beside the checkpoint")
    return VaeResolution(vae_dict.get(shared.opts.sd_vae), "from the settings")


def store_base_vae(model):
    global base_vae, checkpoint_info
    current = model.sd_checkpoint_info
    if current != checkpoint_info:
        tensors = model.first_stage_model.state_dict()
        base_vae, checkpoint_info = {key: value.clone() for key, value in tensors.items()}, current


def delete_base_vae():
    global base_vae, checkpoint_info
    base_vae = checkpoint_info = None


def restore_base_vae(model):
    global loaded_vae_file
    kept = base_vae if model.sd_checkpoint_info == checkpoint_info else None
    delete_base_vae()
    if kept is not None:
        loaded_vae_file = None
        _load_vae_dict(model, kept)


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
    vae = model.first_stage_model
    vae.load_state_dict(vae_dict_1)
    vae.to(dtype=devices.dtype_vae)


def clear_loaded_vae():
    global loaded_vae_file
    loaded_vae_file = None


def reload_vae_weights(sd_model=None, vae_file=unspecified):
    model = sd_model or shared.sd_model
    if vae_file is unspecified:
        vae_file = resolve_vae(model.sd_checkpoint_info.filename).vae
    if vae_file == loaded_vae_file:
        return None
    load_vae(model, vae_file)
    script_callbacks.model_loaded_callback(model)
    return model
