"""<name:argument:...> in prompts, and the one network that there is: LoRA, folded into the weights of the UNet."""
from __future__ import annotations

import os
import re

import torch
from modules import errors, sd_models, shared

TAG = re.compile(r"<(?P<network>\w+):(?P<arguments>[^>]+)>")


class ExtraNetworkParams:
    def __init__(self, items=None):
        self.items = items or []
        self.named = dict(item.split("=", 1) for item in self.items if "=" in str(item))
        self.positional = [item for item in self.items if "=" not in str(item)]

    def __eq__(self, other):
        return isinstance(other, ExtraNetworkParams) and other.items == self.items


class ExtraNetwork:
    """`activate` is called in every batch, with nothing to do too: that undoes what came before."""

    def __init__(self, name):
        self.name = name

    def activate(self, p, params_list):
        raise NotImplementedError

    def deactivate(self, p):
        pass


class Lora(ExtraNetwork):
    """Files of kohya's naming. The weights without them are kept as a copy and put back, so they come out bit for bit."""

    def __init__(self):
        super().__init__("lora")
        self.before: dict[torch.nn.Module, torch.Tensor] = {}

    def forget(self):
        """Other weights were loaded: there is nothing to put back."""
        self.before = {}

    def activate(self, p, params_list):
        for module, weight in self.before.items():
            module.weight.data.copy_(weight)
        self.forget()
        files = {os.path.splitext(os.path.basename(path))[0]: path
                 for path in shared.walk_files(shared.cmd_opts.lora_dir, [".safetensors", ".pt", ".ckpt"])}
        for params in params_list:
            name, *strength = params.positional
            if name not in files:
                errors.report(f"There is no LoRA {name} in {shared.cmd_opts.lora_dir}.")
                continue
            self._fold(sd_models.read_state_dict(files[name]), float(strength[0]) if strength else 1.0)
            p.extra_generation_params["Lora hashes"] = ", ".join(one.positional[0] for one in params_list)

    def _fold(self, tensors, strength):
        layers = {f"lora_unet_{name.replace('.', '_')}": layer
                  for name, layer in shared.sd_model.model.diffusion_model.named_modules()}
        for name, layer in layers.items():
            if (down := tensors.get(f"{name}.lora_down.weight")) is None:
                continue
            alpha = float(tensors.get(f"{name}.alpha", len(down)))
            change = tensors[f"{name}.lora_up.weight"].float().flatten(1) @ down.float().flatten(1)
            self.before.setdefault(layer, layer.weight.data.clone())
            layer.weight.data += (change * (strength * alpha / len(down))).view_as(layer.weight).to(layer.weight)


extra_network_registry = {"lora": Lora()}


def register_extra_network(extra_network):
    extra_network_registry[extra_network.name] = extra_network


def parse_prompts(prompts):
    """(prompts without tags, {network: [ExtraNetworkParams]} of the first prompt)."""
    data = {}
    for match in TAG.finditer(prompts[0] if prompts else ""):
        data.setdefault(match["network"], []).append(ExtraNetworkParams(match["arguments"].split(":")))
    return [TAG.sub("", prompt) for prompt in prompts], data


def _each(what, extra_network_data):
    for name, network in extra_network_registry.items():
        try:
            what(network, (extra_network_data or {}).get(name, []))
        except Exception as error:
            errors.display(error, f"the extra network {name}")


def activate(p, extra_network_data):
    _each(lambda network, wanted: network.activate(p, wanted), extra_network_data)
    if p.scripts is not None:
        p.scripts.after_extra_networks_activate(p, batch_number=p.iteration, prompts=p.prompts, seeds=p.seeds,
                                                subseeds=p.subseeds, extra_network_data=extra_network_data)


def deactivate(p, extra_network_data):
    _each(lambda network, wanted: network.deactivate(p), extra_network_data)
