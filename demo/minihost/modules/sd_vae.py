"""A VAE other than the checkpoint's own: beside the checkpoint, or chosen by the setting "sd_vae"."""
from __future__ import annotations

import os
from types import SimpleNamespace

from modules import hashes, paths, sd_models, shared

vae_path = os.path.join(paths.models_path, "VAE")
vae_dict: dict[str, str] = {}           # file name -> path
_now = SimpleNamespace(file=None, own=None)     # the file whose weights are in the model; a copy of those they replaced


def refresh_vae_list():
    vae_dict.clear()
    vae_dict.update((os.path.basename(path), path) for path in shared.walk_files(vae_path, [".pt", ".ckpt", ".safetensors"]))


def get_loaded_vae_name():
    return _now.file and os.path.basename(_now.file)


def get_loaded_vae_hash():
    return _now.file and (hashes.sha256(_now.file, f"vae/{get_loaded_vae_name()}") or "")[:10]


def _wanted(model):
    if shared.cmd_opts.vae_path:
        return shared.cmd_opts.vae_path
    if shared.opts.sd_vae != "Automatic":
        return vae_dict.get(shared.opts.sd_vae)
    return next((path for name, path in vae_dict.items() if name.startswith(model.sd_checkpoint_info.name_for_extra)), None)


def checkpoint_loaded(model):
    """The checkpoint's weights are in the model: what was there before is gone."""
    _now.file = _now.own = None
    reload_vae_weights(model)


def reload_vae_weights(sd_model=None):
    """Puts the wanted VAE into the model, or the checkpoint's own back."""
    model = sd_model or shared.sd_model
    wanted, vae = _wanted(model), model.first_stage_model
    if wanted == _now.file:
        return
    if _now.own is None:
        _now.own = {key: tensor.clone() for key, tensor in vae.state_dict().items()}
    tensors = sd_models.read_state_dict(wanted) if wanted else _now.own
    vae.load_state_dict({key: tensor for key, tensor in tensors.items() if not key.startswith(("loss", "model_ema."))})
    _now.file = wanted
