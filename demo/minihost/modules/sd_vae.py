"""A VAE other than the checkpoint's own, chosen by the setting "sd_vae"."""

import os
from types import SimpleNamespace

from modules import hashes, paths, shared
from safetensors.torch import load_file

vae_dict = {}  # file name -> path
_now = SimpleNamespace(file=None, own=None)  # the file whose weights are in the model; a copy of those they replaced


def refresh_vae_list():
    found = shared.walk_files(os.path.join(paths.models_path, "VAE"), [".safetensors"])
    vae_dict.clear()
    vae_dict.update((os.path.basename(path), path) for path in found)


def loaded():
    """(name, hash) of the VAE that is used instead of the checkpoint's own, or (None, None)."""
    name = _now.file and os.path.basename(_now.file)
    return name, name and hashes.sha256(_now.file, name)[:10]


def checkpoint_loaded(model):
    """The checkpoint's weights are in the model: what was there before is gone."""
    _now.file = _now.own = None
    reload_vae_weights(model)


def reload_vae_weights(sd_model=None):
    """Puts the wanted VAE into the model, or the checkpoint's own back."""
    vae, wanted = (sd_model or shared.sd_model).first_stage_model, vae_dict.get(shared.opts.sd_vae)
    if wanted == _now.file:
        return
    if _now.own is None:
        _now.own = {key: tensor.clone() for key, tensor in vae.state_dict().items()}
    vae.load_state_dict(load_file(wanted) if wanted else _now.own)
    _now.file = wanted
