"""<name:argument:...> in prompts, and the one network that there is: LoRA, folded into the weights of the UNet."""
import os
import re

from modules import errors, sd_models, shared

TAG = re.compile(r"<(\w+):([^>]+)>")
_before = {}            # layer -> its weight without LoRA, put back bit for bit


def parse_prompts(prompts):
    """(prompts without tags, {network: [its arguments]} of the first prompt)."""
    data = {}
    for name, arguments in TAG.findall(prompts[0] if prompts else ""):
        data.setdefault(name, []).append(arguments.split(":"))
    return [TAG.sub("", prompt) for prompt in prompts], data


def forget():
    """Other weights were loaded: there is nothing to put back."""
    _before.clear()


def activate(p, extra_network_data):
    """Called in every batch; also takes out what the call before put in."""
    for layer, weight in _before.items():
        layer.weight.data.copy_(weight)
    _before.clear()
    files = {os.path.splitext(os.path.basename(path))[0]: path
             for path in shared.walk_files(shared.cmd_opts.lora_dir, [".safetensors", ".pt", ".ckpt"])}
    wanted = (extra_network_data or {}).get("lora", [])
    for name, *strength in wanted:
        try:
            _fold(sd_models.read_state_dict(files[name]), float(strength[0]) if strength else 1.0)
            p.extra_generation_params["Lora hashes"] = ", ".join(one[0] for one in wanted)
        except Exception:
            errors.report(f"The LoRA {name} cannot be used; there are {', '.join(files) or 'none'}.", exc_info=True)
    if p.scripts is not None:
        p.scripts.after_extra_networks_activate(p, batch_number=p.iteration, prompts=p.prompts, seeds=p.seeds,
                                                subseeds=p.subseeds, extra_network_data=extra_network_data)


def _fold(tensors, strength):
    """Files of kohya's naming: weight += strength * alpha / rank * up @ down."""
    for name, layer in shared.sd_model.model.diffusion_model.named_modules():
        key = f"lora_unet_{name.replace('.', '_')}"
        if (down := tensors.get(f"{key}.lora_down.weight")) is not None:
            change = tensors[f"{key}.lora_up.weight"].float().flatten(1) @ down.float().flatten(1)
            change *= strength * float(tensors.get(f"{key}.alpha", len(down))) / len(down)
            _before.setdefault(layer, layer.weight.data.clone())
            layer.weight.data += change.view_as(layer.weight).to(layer.weight)
