"""Checkpoints: listed, chosen, loaded. One of the same layout is loaded into the model object that is there."""
from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import safetensors
import safetensors.torch
import torch
import yaml
from modules import _model, devices, errors, hashes, script_callbacks, shared
from modules.paths import models_path

model_path = os.path.join(models_path, "Stable-diffusion")
checkpoints_list: dict[str, CheckpointInfo] = {}        # by title
checkpoint_aliases: dict[str, CheckpointInfo] = {}      # by everything that a request may call it


class CheckpointInfo:
    def __init__(self, filename):
        file = Path(filename)
        self.filename, self.name_for_extra = str(filename), file.stem
        inside = file.is_relative_to(shared.cmd_opts.ckpt_dir)
        self.name = str(file.relative_to(shared.cmd_opts.ckpt_dir)) if inside else file.name
        self.model_name = os.path.splitext(self.name)[0].replace("/", "_").replace("\\", "_")
        with file.open("rb") as opened:                 # the old short hash: of 64 KiB at 1 MiB
            opened.seek(1 << 20)
            self.hash = hashlib.sha256(opened.read(1 << 16)).hexdigest()[:8]
        self._called(hashes.sha256_from_cache(self.filename, f"checkpoint/{self.name}"))

    def _called(self, sha256):
        self.sha256, self.shorthash = sha256, sha256[:10] if sha256 else None
        mark = f" [{self.shorthash}]" if sha256 else ""
        self.title, self.short_title = self.name + mark, self.name_for_extra + mark
        names = (self.hash, self.model_name, self.name, self.name_for_extra, self.title, self.shorthash, self.sha256,
                 self.short_title)
        self.ids = [name for name in names if name]

    def register(self):
        checkpoints_list[self.title] = self
        checkpoint_aliases.update((name, self) for name in self.ids)

    def calculate_shorthash(self):
        """Reads the whole file once; the title gets the hash."""
        before = self.title
        self._called(hashes.sha256(self.filename, f"checkpoint/{self.name}"))
        checkpoints_list.pop(before, None)
        self.register()
        return self.shorthash


def list_models():
    checkpoints_list.clear()
    checkpoint_aliases.clear()
    for path in shared.walk_files(shared.cmd_opts.ckpt_dir, [".ckpt", ".safetensors"]):
        if ".vae." not in os.path.basename(path):
            CheckpointInfo(path).register()


def get_closet_checkpoint_match(search_string):
    """By one of its names, or by a part of its title; None where nothing fits."""
    if not search_string:
        return None
    fits = [info for title, info in checkpoints_list.items() if search_string.split(" [")[0] in title]
    return checkpoint_aliases.get(search_string) or min(fits, key=lambda info: len(info.title), default=None)


def checkpoint_named(name):
    """The same for a request that names it."""
    info = get_closet_checkpoint_match(name)
    if info is None:
        raise RuntimeError(f"there is no checkpoint {name!r}")
    return info


def select_checkpoint():
    """The one of the settings, else the first."""
    info = checkpoint_aliases.get(shared.opts.sd_model_checkpoint) or next(iter(checkpoints_list.values()), None)
    if info is None:
        raise FileNotFoundError(f"there is no checkpoint in {shared.cmd_opts.ckpt_dir}")
    return info


def read_state_dict(checkpoint_file, print_global_state=False, map_location=None):
    """The tensors of a .safetensors file, or of a pickled one (by the checked torch.load)."""
    if checkpoint_file.lower().endswith(".safetensors"):
        return safetensors.torch.load_file(checkpoint_file, device=map_location or "cpu")
    tensors = torch.load(checkpoint_file, map_location=map_location or "cpu")
    return tensors.get("state_dict", tensors)


def restore_schedule(sd_model):
    """The checkpoint's own alphas_cumprod, before every sampling."""
    sd_model.alphas_cumprod = sd_model.alphas_cumprod_original.to(devices.device)


class ModelData:
    """The model that is loaded; the first who asks loads it."""

    def __init__(self):
        self.sd_model, self.tried, self.lock = None, False, threading.Lock()

    def get_sd_model(self):
        with self.lock:
            if self.sd_model is None and not self.tried:
                self.tried = True
                try:
                    reload_model_weights()
                except Exception as error:
                    errors.display(error, "loading a checkpoint")
        return self.sd_model


model_data = ModelData()


def reload_model_weights(sd_model=None, info=None):
    """Makes the chosen checkpoint (`info`, else that of the settings) the one that is loaded."""
    from_settings, info = info is None, info or select_checkpoint()
    model = sd_model or model_data.sd_model
    if model is not None and model.sd_model_checkpoint == info.filename:
        return model
    tensors = read_state_dict(info.filename)
    config = Path(info.filename).with_suffix(".yaml")
    layout = _model.layout_of(tensors, yaml.safe_load(config.read_text("utf-8"))["model"]["params"] if config.is_file() else None)
    if model is None or model.used_config != layout:
        model = _model.LatentDiffusion(layout).eval().requires_grad_(False)
    _load(model, tensors, info)
    model_data.sd_model, model_data.tried = model.to(devices.device), True
    if from_settings:
        shared.opts.data.update(sd_model_checkpoint=info.title, sd_checkpoint_hash=info.sha256)
    script_callbacks.model_loaded_callback(model)
    with torch.no_grad():
        model.cond_stage_model_empty_prompt = model.get_learned_conditioning([""])
    return model


def _load(model, tensors, info):
    from modules import extra_networks, sd_vae

    extra_networks.extra_network_registry["lora"].forget()
    model.load_state_dict(tensors, strict=False)            # other programs leave out or add buffers
    model.is_sdxl = any(key.startswith("conditioner.") for key in tensors)
    model.is_sd2 = any(key.startswith("cond_stage_model.model.") for key in tensors)
    model.is_sd1 = not (model.is_sd2 or model.is_sdxl)
    model.alphas_cumprod_original = model.alphas_cumprod.clone()
    info.calculate_shorthash()
    model.sd_checkpoint_info, model.sd_model_checkpoint, model.sd_model_hash = info, info.filename, info.shorthash
    sd_vae.checkpoint_loaded(model)
