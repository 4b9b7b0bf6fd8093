"""Checkpoints: list, choose, load; a checkpoint of the same layout is loaded into the model object that is there."""
import os
import re
import threading
from pathlib import Path

import safetensors.torch
import torch
import yaml
from modules import devices, errors, hashes, modelloader, paths, script_callbacks, shared

model_dir = "Stable-diffusion"
model_path = str(Path(paths.models_path, model_dir).absolute())
checkpoints_list = {}
checkpoint_aliases = {}
checkpoint_alisases = checkpoint_aliases


_NO_FOLDERS = str.maketrans("/\\", "__")


class CheckpointInfo:
    def __init__(self, filename):
        self.filename = filename
        folder = os.path.abspath(shared.cmd_opts.ckpt_dir or model_path)
        inside = os.path.abspath(filename).startswith(folder + os.sep)
        self.name = os.path.relpath(filename, folder) if inside else os.path.basename(filename)
        self.is_safetensors = filename.lower().endswith(".safetensors")
        self.metadata = read_metadata_from_safetensors(filename) if self.is_safetensors else {}
        self.name_for_extra, self.model_name = Path(filename).stem, os.path.splitext(self.name.translate(_NO_FOLDERS))[0]
        self.hash = model_hash(filename)
        self._title_in_cache = f"checkpoint/{self.name}"
        self.sha256 = hashes.sha256_from_cache(filename, self._title_in_cache)
        self.shorthash = None
        self._titles()

    def _titles(self):
        self.shorthash = self.sha256[:10] if self.sha256 else None
        suffix = f" [{self.shorthash}]" if self.shorthash else ""
        self.title, self.short_title = self.name + suffix, self.name_for_extra + suffix
        self.ids = [self.hash, self.model_name, self.title, self.name, self.name_for_extra, f"{self.name} [{self.hash}]"]
        if self.shorthash:
            self.ids += [self.shorthash, self.sha256, self.short_title]

    def register(self):
        checkpoints_list[self.title] = self
        checkpoint_aliases.update(dict.fromkeys(self.ids, self))

    def calculate_shorthash(self):
        """The short hash; the title, which holds it, may change."""
        self.sha256 = hashes.sha256(self.filename, title=self._title_in_cache)
        if self.sha256 is not None and self.shorthash != self.sha256[:10]:
            old = list(checkpoints_list.items())
            self._titles()
            checkpoints_list.clear()
            checkpoints_list.update((info.title if info is self else title, info) for title, info in old)
            self.register()
        return self.shorthash


def checkpoint_tiles(use_short=False):
    return [info.short_title if use_short else info.title for info in checkpoints_list.values()]


def list_models():
    checkpoints_list.clear()
    checkpoint_aliases.clear()
    for path in modelloader.load_models(model_path=model_path, command_path=shared.cmd_opts.ckpt_dir, ext_filter=[".ckpt", ".safetensors"],
                                        ext_blacklist=[".vae.ckpt", ".vae.safetensors"]):
        CheckpointInfo(path).register()


def get_closet_checkpoint_match(search_string):
    if not search_string:
        return None
    if search_string in checkpoint_aliases:
        return checkpoint_aliases[search_string]
    for text in (search_string, re.sub(r"\s*\[[^]]+\]\s*$", "", search_string)):
        found = [info for info in checkpoints_list.values() if text in info.title]
        if found:
            return min(found, key=lambda info: len(info.title))
    return None


def model_hash(filename):
    """The old short hash: 64 KiB at 1 MiB."""
    import hashlib

    with open(filename, "rb") as file:
        file.seek(1 << 20)
        return hashlib.sha256(file.read(1 << 16)).hexdigest()[:8]


def select_checkpoint():
    """What the settings say, else the first of the list; FileNotFoundError without any."""
    info = checkpoint_aliases.get(shared.opts.sd_model_checkpoint)
    if info is None and not checkpoints_list:
        raise FileNotFoundError(f"No checkpoint in {model_path}.")
    return info or next(iter(checkpoints_list.values()))


def read_metadata_from_safetensors(filename):
    with safetensors.safe_open(filename, "pt") as file:
        return dict(file.metadata() or {})


def get_state_dict_from_checkpoint(pl_sd):
    pl_sd = pl_sd.pop("state_dict", pl_sd)
    old = "cond_stage_model.transformer."
    without_prefix = tuple(old + part for part in ("embeddings.", "encoder.", "final_layer_norm."))
    return {old + "text_model." + key[len(old):] if key.startswith(without_prefix) else key: value for key, value in pl_sd.items()}


def read_state_dict(checkpoint_file, print_global_state=False, map_location=None):
    """Tensors of a .safetensors file or of a pickled one (through the checked torch.load)."""
    device = map_location or shared.weight_load_location
    if checkpoint_file.lower().endswith(".safetensors"):
        return get_state_dict_from_checkpoint(safetensors.torch.load_file(checkpoint_file, device=device))
    return get_state_dict_from_checkpoint(torch.load(checkpoint_file, map_location=device))


class SkipWritingToConfig:
    """While inside, loading a checkpoint does not change the setting."""

    skip = False
    previous = None

    def __enter__(self):
        cls = type(self)
        self.previous, cls.skip = cls.skip, True
        return self

    def __exit__(self, exc_type, exc_value, exc_traceback):
        type(self).skip = self.previous


def _layout(state_dict, info):
    from modules import _latent_diffusion, sd_models_config

    path = sd_models_config.find_checkpoint_config_near_filename(info)
    config = yaml.safe_load(Path(path).read_text(encoding="utf8"))["model"]["params"] if path else None
    return _latent_diffusion.layout_of(state_dict, config)


def apply_alpha_schedule_override(sd_model, p=None):
    """Put the model's own alphas_cumprod back."""
    original = getattr(sd_model, "alphas_cumprod_original", None)
    if original is not None:
        sd_model.alphas_cumprod = original.to(shared.device)


def apply_token_merging(sd_model, token_merging_ratio):
    """Only remembered: minihost has no ToMe."""
    sd_model.applied_token_merged_ratio = float(token_merging_ratio)


class SdModelData:
    def __init__(self):
        self.sd_model = None
        self.loaded_sd_models = []
        self.was_loaded_at_least_once = False
        self.lock = threading.Lock()

    def get_sd_model(self):
        with self.lock:
            if self.sd_model is None and not self.was_loaded_at_least_once:
                try:
                    load_model()
                except Exception as error:
                    errors.display(error, "loading the checkpoint", full_traceback=True)
        return self.sd_model

    def set_sd_model(self, v, already_loaded=False):
        self.sd_model = v
        self.was_loaded_at_least_once |= v is not None
        self.loaded_sd_models[:] = [] if v is None else [v]


model_data = SdModelData()


def load_model_weights(model, checkpoint_info: CheckpointInfo, state_dict, timer):
    from modules import extra_networks, sd_vae

    checkpoint_info.calculate_shorthash()
    if not SkipWritingToConfig.skip:
        shared.opts.data.update(sd_model_checkpoint=checkpoint_info.title, sd_checkpoint_hash=checkpoint_info.sha256)
    for network in extra_networks.extra_network_registry.values():
        getattr(network, "forget", lambda: None)()
    model.is_sdxl = any(key.startswith("conditioner.") for key in state_dict)
    model.is_sd2 = any(key.startswith("cond_stage_model.model.") for key in state_dict)
    model.is_sd1 = not (model.is_sdxl or model.is_sd2)
    model.load_state_dict(state_dict, False)         # not strict: other programs leave out or add buffers
    model.alphas_cumprod_original = model.alphas_cumprod.clone()
    model.sd_model_hash, model.sd_model_checkpoint, model.sd_checkpoint_info = \
        checkpoint_info.shorthash, checkpoint_info.filename, checkpoint_info
    model.logvar = None
    sd_vae.delete_base_vae()
    sd_vae.clear_loaded_vae()
    vae_file, source = sd_vae.resolve_vae(checkpoint_info.filename).tuple()
    sd_vae.load_vae(model, vae_file, source)


def load_model(checkpoint_info=None, already_loaded_state_dict=None):
    from modules import _latent_diffusion, sd_hijack

    info = checkpoint_info or select_checkpoint()
    state_dict = already_loaded_state_dict or read_state_dict(info.filename)
    model = _latent_diffusion.LatentDiffusion(_layout(state_dict, info))
    load_model_weights(model, info, state_dict, None)
    model.to(devices.device).eval().requires_grad_(False)
    sd_hijack.model_hijack.circular_enabled = False
    sd_hijack.model_hijack.hijack(model)
    model_data.set_sd_model(model)
    return _announce(model)


def _announce(model):
    """Tell the extensions, and encode the empty prompt with the text encoder as they leave it."""
    script_callbacks.model_loaded_callback(model)
    with torch.no_grad():
        model.cond_stage_model_empty_prompt = model.get_learned_conditioning([""])
    return model


def reload_model_weights(sd_model=None, info=None, forced_reload=False):
    """Make the chosen checkpoint the loaded one, if it is not."""
    info = info or select_checkpoint()
    sd_model = sd_model or model_data.sd_model
    if sd_model is not None and sd_model.sd_model_checkpoint == info.filename and not forced_reload:
        return sd_model
    state_dict = read_state_dict(info.filename)
    if sd_model is None or _layout(state_dict, info) != sd_model.used_config:
        return load_model(info, already_loaded_state_dict=state_dict)
    load_model_weights(sd_model, info, state_dict, None)
    return _announce(sd_model.to(devices.device))


def unload_model_weights(sd_model=None, info=None):
    wanted = shared.sd_model if sd_model is None else sd_model
    send_model_to_cpu(wanted)


def send_model_to_cpu(m):
    if m is not None:
        m.to(devices.cpu)


def send_model_to_device(m):
    m.to(shared.device)
