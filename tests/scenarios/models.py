"""Model files beside the miniature, made in the running host's folders and taken away again."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .client import Host

MODELS = Path(__file__).resolve().parents[2] / "demo" / "models"
PREFIX = "pia_scenario"
FIRST = "model.diffusion_model.input_blocks.0.0.weight"


class Models:
    """Each method gives the name that the API takes; the file is made when it is first asked for."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.folder = Path(host.get("/pia-probe/host")["models"])
        self.written: list[Path] = []

    def clear(self) -> None:
        for path in self.written:
            path.unlink(missing_ok=True)
        if self.written:
            self._refresh()

    def _refresh(self) -> None:
        for what in ("checkpoints", "vae"):
            self.host.post(f"/sdapi/v1/refresh-{what}", {})

    def _save(self, kind: str, name: str, tensors: dict[str, torch.Tensor], text: str = "") -> str:
        path = self.folder / kind / f"{PREFIX}_{name}.safetensors"
        if path not in self.written:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({key: value.contiguous() for key, value in tensors.items()}, path)
            self.written.append(path)
            if text:
                path.with_suffix(".yaml").write_text(text)
                self.written.append(path.with_suffix(".yaml"))
            self._refresh()
        return path.stem

    @property
    def _miniature(self) -> dict[str, torch.Tensor]:
        return load_file(MODELS / "miniature.safetensors")

    @property
    def _yaml(self) -> str:
        return (MODELS / "miniature.yaml").read_text()

    def other(self) -> str:
        """Another checkpoint of the same layout: its UNet's output is weaker."""
        tensors = self._miniature
        tensors["model.diffusion_model.out.2.weight"] = tensors["model.diffusion_model.out.2.weight"] * 0.8
        return self._save("Stable-diffusion", "other", tensors, self._yaml)

    def inpainting(self) -> str:
        """Nine input channels, of which the last five count a little."""
        tensors = self._miniature
        first = tensors[FIRST]
        more = 0.02 * torch.randn(first.shape[0], 5, 3, 3, generator=torch.Generator().manual_seed(1))
        tensors[FIRST] = torch.cat([first, more.to(first)], dim=1)
        text = self._yaml.replace("in_channels: 4", "in_channels: 9").replace("crossattn", "hybrid")
        return self._save("Stable-diffusion", "inpainting", tensors, text)

    def vae(self) -> str:
        """A VAE file for the setting sd_vae: the miniature's, darker."""
        prefix = "first_stage_model."
        tensors = {key[len(prefix) :]: value for key, value in self._miniature.items() if key.startswith(prefix)}
        tensors["decoder.conv_out.bias"] = tensors["decoder.conv_out.bias"] - 0.2
        tensors["quant_conv.bias"] = tensors["quant_conv.bias"] + 0.1
        return f"{self._save('VAE', 'vae', tensors)}.safetensors"
