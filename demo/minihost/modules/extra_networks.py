"""<name:argument:...> in prompts, and the one network that there is: LoRA, folded into the weights of the UNet."""

import os
import re
from dataclasses import make_dataclass

from modules import errors, paths, shared

TAG = re.compile(r"<(\w+):([^>]+)>")
ExtraNetworkParams = make_dataclass("ExtraNetworkParams", ["items"])  # what stands behind the network's name
_before = {}  # layer -> its weight without LoRA, put back bit for bit


def parse_prompts(prompts):
    """(prompts without tags, {network: [its parameters]} of the first prompt)."""
    data = {}
    for name, arguments in TAG.findall(prompts[0]):
        data.setdefault(name, []).append(ExtraNetworkParams(arguments.split(":")))
    return [TAG.sub("", prompt) for prompt in prompts], data


def forget():
    """Other weights were loaded: there is nothing to put back."""
    _before.clear()


def activate(p, extra_network_data):
    """Called in every batch; also takes out what the call before put in."""
    for layer, weight in _before.items():
        layer.weight.data.copy_(weight)
    _before.clear()
    wanted = [one.items for one in (extra_network_data or {}).get("lora", [])]
    for name, *strength in wanted:
        try:
            file = os.path.join(paths.models_path, "Lora", f"{name}.safetensors")
            _fold(file, float(strength[0]) if strength else 1.0)
            p.extra_generation_params["Lora hashes"] = ", ".join(items[0] for items in wanted)
        except Exception:
            errors.report(f"The LoRA {name} cannot be used.", exc_info=True)
    told = {"batch_number": p.iteration, "prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}
    p.tell("after_extra_networks_activate", extra_network_data=extra_network_data, **told)


def _fold(file, strength):
    from demo.miniature import lora

    unet = shared.sd_model.model.diffusion_model
    for layer in lora.targets(unet).values():
        _before.setdefault(layer, layer.weight.data.clone())
    lora.merge(unet, file, strength)
