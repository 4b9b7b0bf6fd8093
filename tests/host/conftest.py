"""`host`: one minihost per test session, with this repository as its extension and tiny seeded models.

`models` makes further files of the kinds that the scenarios need. After every test the settings are as before it, and
`torch.load` is torch's own outside this folder (inside it is the WebUI's, which gives None for a file that it refuses).
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests import tiny_models
from tests.host.clips import watching

REPOSITORY = Path(__file__).resolve().parents[2]


def contiguous(tensors):
    return {key: value.contiguous() for key, value in tensors.items()}


class Models:
    """Model files in the host's folders, made when first asked for; each method returns the name that the API takes."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.base = tiny_models.ldm_checkpoint()

    def _save(self, kind: str, name: str, tensors) -> Path:
        path = self.folder / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            save_file(contiguous(tensors() if callable(tensors) else tensors), path)
        return path

    def _checkpoint(self, name: str, tensors) -> str:
        self._save("Stable-diffusion", f"{name}.safetensors", tensors).with_suffix(".yaml").write_text(
            tiny_models.layout()
        )
        if "modules.sd_models" in sys.modules:
            sys.modules["modules.sd_models"].list_models()
        return name

    def default(self) -> str:
        return self._checkpoint("tiny", self.base)

    def other(self) -> str:
        """Another checkpoint of the same layout (loaded into the model object that is there)."""
        return self._checkpoint("other", lambda: tiny_models.ldm_checkpoint(seed=7))

    def inpainting(self) -> str:
        """Nine input channels."""

        def tensors():
            weight = self.base["model.diffusion_model.input_blocks.0.0.weight"]
            more = 0.05 * torch.randn(weight.shape[0], 5, 3, 3, generator=torch.Generator().manual_seed(1))
            return {**self.base, "model.diffusion_model.input_blocks.0.0.weight": torch.cat([weight, more], dim=1)}

        return self._checkpoint("tiny-inpainting", tensors)

    def sdxl(self) -> str:
        """A checkpoint that the host takes for SDXL."""
        return self._checkpoint(
            "fake-sdxl", lambda: {**self.base, "conditioner.embedders.1.model.ln_final.weight": torch.ones(4)}
        )

    def sd2(self) -> str:
        """A checkpoint that the host takes for SD2."""
        return self._checkpoint(
            "fake-sd2",
            lambda: {**self.base, "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight": torch.ones(4)},
        )

    def vae(self) -> str:
        """A VAE file for the setting sd_vae."""
        prefix = "first_stage_model."
        path = self._save(
            "VAE",
            "other-vae.safetensors",
            lambda: {
                key[len(prefix) :]: value
                for key, value in tiny_models.vae_to_ldm(tiny_models.weights("vae", 7)).items()
            },
        )
        return path.name

    def lora(self) -> str:
        """A LoRA on one attention layer: <lora:NAME:1>."""
        weight = self.base["model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v.weight"]
        noise = torch.Generator().manual_seed(3)
        name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v"
        self._save(
            "Lora",
            "tiny-lora.safetensors",
            {
                f"{name}.lora_down.weight": torch.randn(2, weight.shape[1], generator=noise),
                f"{name}.lora_up.weight": torch.randn(weight.shape[0], 2, generator=noise),
                f"{name}.alpha": torch.tensor(2.0),
            },
        )
        return "tiny-lora"

    def pia(self) -> str:
        """The tiny PIA model, in official keys."""
        return self._save("PIA", "tiny_pia.safetensors", tiny_models.official_pia).name


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Models:
    made = Models(tmp_path_factory.mktemp("minihost") / "models")
    made.default()
    made.pia()
    return made


@pytest.fixture(scope="session")
def host(models):
    from demo.minihost import start

    torch.set_num_threads(1)
    started = start(models.folder.parent, extensions=[REPOSITORY])
    assert started.shared.sd_model is not None  # loaded, and noted in the settings, before any test
    opts = started.shared.opts
    opts.data = {key: getattr(opts, key) for key in opts.data_labels}
    return started


@pytest.fixture
def latents(host, request):
    """latents(settings, ...) -> the latents of a clip like the module's CHAIN (clips.watching)."""
    with watching(host, request.module.CHAIN) as run:
        yield run


@pytest.fixture(scope="module")
def plain(host, request):
    """The latents of the module's CHAIN as it is."""
    with watching(host, request.module.CHAIN) as run:
        return run()


@pytest.fixture(autouse=True)
def _host_as_before():
    """The host's torch.load inside a test; its settings, checkpoint and state put back afterwards."""
    safe, shared = sys.modules.get("modules.safe"), sys.modules.get("modules.shared")
    before = None if shared is None or shared.opts is None else copy.deepcopy(shared.opts.data)
    if safe is not None:
        torch.load = safe.load
    yield
    if "modules.safe" in sys.modules:
        torch.load = sys.modules["modules.safe"].unsafe_torch_load
    if before is not None:
        shared.opts.data = before
        shared.state.interrupted = shared.state.skipped = shared.state.stopping_generation = False
