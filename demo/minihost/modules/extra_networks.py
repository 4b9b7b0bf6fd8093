"""<name:argument:...> in prompts, and the one network that there is: LoRA, folded into the weights of the UNet."""

import os
import re

from modules import errors, paths, sd_models, shared

TAG = re.compile(r"<(\w+):([^>]+)>")
RESNET = {"in_layers.2": "conv1", "out_layers.3": "conv2", "emb_layers.1": "time_emb_proj"}
RESNET["skip_connection"] = "conv_shortcut"
_before = {}  # layer -> its weight without LoRA, put back bit for bit


class ExtraNetworkParams:
    def __init__(self, items):
        self.items, self.positional, self.named = items, items, {}


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
            _fold(sd_models.read_state_dict(file), float(strength[0]) if strength else 1.0)
            p.extra_generation_params["Lora hashes"] = ", ".join(items[0] for items in wanted)
        except Exception:
            errors.report(f"The LoRA {name} cannot be used.", exc_info=True)
    if p.scripts is not None:
        p.scripts.after_extra_networks_activate(
            p, batch_number=p.iteration, prompts=p.prompts, seeds=p.seeds, subseeds=p.subseeds,
            extra_network_data=extra_network_data,
        )  # fmt: skip


def _key(name):
    """A layer of LDM's UNet as kohya's scripts call it, who name blocks as diffusers does; "" for other layers."""
    found = re.fullmatch(r"(in|out|middle_)(?:put_blocks\.(\d+)|block)\.(\d)\.(.+)", name)
    if not found:
        return ""
    side, number, part, rest = found[1], int(found[2] or 0) - (found[1] == "in"), int(found[3]), found[4]
    kind = "attentions" if part == 1 else "resnets"
    if side == "middle_":
        block = f"mid_block_{kind}_{part // 2}"
    else:
        block = f"{'down' if side == 'in' else 'up'}_blocks_{number // 3}_{kind}_{number % 3}"
    return f"lora_unet_{block}_{RESNET.get(rest, rest).replace('.', '_')}"


def _fold(tensors, strength):
    """weight += strength * alpha / rank * up @ down."""
    for name, layer in shared.sd_model.model.diffusion_model.named_modules():
        key = _key(name)
        if (down := tensors.get(f"{key}.lora_down.weight")) is not None:
            change = tensors[f"{key}.lora_up.weight"].float().flatten(1) @ down.float().flatten(1)
            change *= strength * float(tensors[f"{key}.alpha"]) / len(down)
            _before.setdefault(layer, layer.weight.data.clone())
            layer.weight.data += change.view_as(layer.weight).to(layer.weight)
