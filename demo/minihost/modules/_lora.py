"""<lora:name:weight>: files of models/Lora (kohya's names), merged into the UNet's weights and taken out again from a copy."""
import os

import torch
from modules import errors, extra_networks, sd_models, shared


def _find(name):
    for path in shared.walk_files(shared.cmd_opts.lora_dir, [".safetensors", ".pt", ".ckpt"]):
        if os.path.splitext(os.path.basename(path))[0] == name:
            return path
    return None


class ExtraNetworkLora(extra_networks.ExtraNetwork):
    def __init__(self):
        super().__init__("lora")
        self.applied, self.originals, self.model = [], {}, None

    def activate(self, p, params_list):
        wanted = [(params.positional[0], float(params.positional[1]) if len(params.positional) > 1 else 1.0) for params in params_list]
        model = shared.sd_model
        if self.originals and self.model is model:
            for module, weight in self.originals.items():
                module.weight.data.copy_(weight)
        self.originals, self.model, self.applied = {}, model, wanted
        modules = {"lora_unet_" + name.replace(".", "_"): module for name, module in model.model.diffusion_model.named_modules()}
        for name, strength in wanted:
            path = _find(name)
            if path is None:
                errors.report(f"no LoRA named {name} in {shared.cmd_opts.lora_dir}")
                continue
            self._merge(sd_models.read_state_dict(path), modules, strength)
            p.extra_generation_params["Lora hashes"] = ", ".join(used for used, _ in wanted)

    def forget(self):
        """The weights were loaded anew: there is nothing to take out."""
        self.originals.clear()

    def _merge(self, tensors, modules, strength):
        for key in [key for key in tensors if key.endswith(".lora_down.weight")]:
            name = key[:-len(".lora_down.weight")]
            module = modules.get(name)
            if module is None:
                continue
            down, up = tensors[key].float(), tensors[f"{name}.lora_up.weight"].float()
            rank = len(down)
            scale = strength * float(tensors.get(f"{name}.alpha", torch.tensor(rank))) / rank
            self.originals.setdefault(module, module.weight.data.clone())
            module.weight.data += (scale * (up.flatten(1) @ down.flatten(1)).reshape(module.weight.shape)).to(module.weight)

    def deactivate(self, p):
        pass                    # like the WebUI's: the next generation's `activate` undoes it
