"""Checkpoints: listed, chosen, loaded. One of the same layout is loaded into the model object that is there. And a VAE
other than the checkpoint's own, by the setting "sd_vae", which is a file's name."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import torch
from modules import _model, devices, extra_networks, hashes, paths, shared
from safetensors.torch import load_file

checkpoints_list: dict[str, CheckpointInfo] = {}  # by title
checkpoint_aliases: dict[str, CheckpointInfo] = {}  # by everything that a request may call it
FOLDER = os.path.join(paths.models_path, "Stable-diffusion")
_vae = SimpleNamespace(file=None, own=None)  # the file whose weights are in the model; a copy of those they replaced


class CheckpointInfo:
    shorthash = hash = None  # of a file that was not read yet

    def __init__(self, filename):
        self.filename, file = filename, Path(filename)
        self.name, self.name_for_extra = str(file.relative_to(FOLDER)), file.stem
        self.model_name = os.path.splitext(self.name)[0].replace(os.sep, "_")

    @property
    def title(self):
        return f"{self.name} [{self.shorthash}]" if self.shorthash else self.name

    def register(self):
        """The title holds the hash, which is not known before the file was read."""
        checkpoints_list[self.title] = self
        names = self.title, self.name, self.model_name, self.name_for_extra, self.shorthash
        checkpoint_aliases.update((name, self) for name in names if name)

    def calculate_shorthash(self):
        checkpoints_list.pop(self.title, None)
        self.shorthash = self.hash = hashes.sha256(self.filename, self.name)[:10]
        self.register()


def list_models():
    checkpoints_list.clear()
    checkpoint_aliases.clear()
    for path in shared.walk_files(FOLDER, [".safetensors"]):
        CheckpointInfo(path).register()
    model = model_data.sd_model
    if model is not None and (info := checkpoint_aliases.get(model.sd_checkpoint_info.name)):
        info.calculate_shorthash()


def checkpoint_named(name):
    if name not in checkpoint_aliases:
        raise RuntimeError(f"model {name!r} not found")
    return checkpoint_aliases[name]


class ModelData:
    """The model that is loaded; the first who asks loads it."""

    def __init__(self):
        self.sd_model, self.lock = None, threading.Lock()

    def get_sd_model(self):
        with self.lock:
            if self.sd_model is None:
                reload_model_weights()
        return self.sd_model


model_data = ModelData()


def reload_model_weights():
    """Makes the checkpoint of the settings, else the first one, the one that is loaded."""
    info = checkpoint_aliases.get(shared.opts.sd_model_checkpoint) or next(iter(checkpoints_list.values()))
    model = model_data.sd_model
    if model is not None and model.sd_model_checkpoint == info.filename:
        return
    tensors = load_file(info.filename)
    layout = _model.layout_of(tensors, Path(info.filename).with_suffix(".yaml"))
    if model is None or model.used_config != layout:
        model = _model.LatentDiffusion(layout).eval().requires_grad_(False)
    extra_networks.forget()
    model.load_state_dict(tensors, strict=False)  # other programs leave out or add buffers
    for flag, prefix in (("is_sdxl", "conditioner."), ("is_sd2", "cond_stage_model.model.")):
        setattr(model, flag, any(key.startswith(prefix) for key in tensors))
    model.alphas_cumprod_original = model.alphas_cumprod.clone()
    info.calculate_shorthash()
    model.sd_checkpoint_info, model.sd_model_checkpoint, model.sd_model_hash = info, info.filename, info.shorthash
    model_data.sd_model = model.to(devices.device)
    shared.opts.data["sd_model_checkpoint"] = info.title
    _vae.file = _vae.own = None
    reload_vae_weights()
    with torch.no_grad():
        model.cond_stage_model_empty_prompt = model.get_learned_conditioning([""])


def loaded_vae():
    """(name, hash) of the VAE that is used instead of the checkpoint's own, or (None, None)."""
    name = _vae.file and _vae.file.name
    return name, name and hashes.sha256(_vae.file, name)[:10]


def reload_vae_weights():
    """Puts the wanted VAE into the model, or the checkpoint's own back."""
    vae, wanted = model_data.sd_model.first_stage_model, Path(paths.models_path, "VAE", shared.opts.sd_vae)
    wanted = wanted if wanted.is_file() else None
    if wanted == _vae.file:
        return
    if _vae.own is None:
        _vae.own = {key: tensor.clone() for key, tensor in vae.state_dict().items()}
    vae.load_state_dict(load_file(wanted) if wanted else _vae.own)
    _vae.file = wanted
