"""A Stable Diffusion 1.x checkpoint file as training needs it: UNet, VAE encoder, text encoder.

The only module of the package that uses LDM's classes and transformers; both are imported when a checkpoint is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib_pia.errors import TrainingError

from .weights import read_tensors

logger = logging.getLogger(__name__)

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
CLIP_NAME = (
    "openai/clip-vit-large-patch14"  # the text encoder of Stable Diffusion 1.x (v1-inference.yaml FrozenCLIPEmbedder)
)
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
TOKENS = 77
HEAD_WIDTH = 64  # of CLIP's text encoders
INSTALL = "pip install --no-deps stable-diffusion-sdkit==2.1.5 && pip install transformers pyyaml omegaconf"

# v1-inference.yaml
SD15_UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "attention_resolutions": [4, 2, 1],
    "num_res_blocks": 2,
    "channel_mult": [1, 2, 4, 4],
    "num_heads": 8,
    "use_spatial_transformer": True,
    "transformer_depth": 1,
    "context_dim": 768,
    "use_checkpoint": False,
    "legacy": False,
}
SD15_VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Constructor arguments of the UNet and of the VAE's encoder, and what the yaml says of the text encoder."""

    unet: Mapping[str, Any] = dataclasses.field(default_factory=lambda: SD15_UNET)
    vae: Mapping[str, Any] = dataclasses.field(default_factory=lambda: SD15_VAE)
    text: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def read_layout(checkpoint: Path, config: Path | None = None) -> Layout:
    """The layout that `config` gives, or the yaml beside the checkpoint (as in the WebUI), or SD1.5's. TrainingError
    for a yaml that is none, or that describes a model which does not predict noise."""
    path = config or checkpoint.with_suffix(".yaml")
    if config is None and not path.exists():
        return Layout()
    try:
        import yaml

        params = yaml.safe_load(path.read_text())["model"]["params"]
        unet, vae = params["unet_config"]["params"], params["first_stage_config"]["params"]["ddconfig"]
        text = params.get("cond_stage_config", {}).get("params") or {}
    except ImportError:
        raise TrainingError(
            f"PyYAML is missing, so {path.name} cannot be read; install it: pip install pyyaml"
        ) from None
    except (OSError, KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError):
        raise TrainingError(
            f"{path} is no checkpoint config; it must be a yaml like v1-inference.yaml, with unet_config and "
            "first_stage_config."
        ) from None
    if params.get("parameterization", "eps") != "eps":
        raise TrainingError(
            f"{path.name} says parameterization: {params['parameterization']}; PIA is trained on models that "
            "predict noise (eps), such as SD1.5."
        )
    return Layout({**unet, "use_checkpoint": False}, vae, text)


def _part(tensors: Mapping[str, Tensor], prefix: str, name: str) -> dict[str, Tensor]:
    found = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
    if not found:
        raise TrainingError(
            f"{name} has no {prefix}*; --checkpoint must be a whole Stable Diffusion 1.x file with UNet, VAE and text "
            "encoder."
        )
    return found


def _load(module: nn.Module, tensors: Mapping[str, Tensor], what: str, name: str) -> nn.Module:
    """`module` with `tensors`, frozen, float32; TrainingError where the sizes are not those of the layout."""
    own = module.state_dict()
    for key, value in own.items():
        if key not in tensors:
            raise TrainingError(
                f"{name} lacks {what}'s {key}, so it is no SD1.5-layout checkpoint; choose one, or give its yaml with "
                "--config."
            )
        if tensors[key].shape != value.shape:
            raise TrainingError(
                f"{name}: {what}'s {key} is {list(tensors[key].shape)}, the layout says {list(value.shape)}; give the "
                "checkpoint's yaml with --config (without one it is taken for SD1.5)."
            )
    module.load_state_dict({key: tensors[key].to(value.dtype) for key, value in own.items()})
    return module.eval().requires_grad_(False)


def _build_unet(layout: Mapping[str, Any]) -> nn.Module:
    from ldm.modules.diffusionmodules.openaimodel import UNetModel  # noqa: TID251 - the one place for LDM

    return UNetModel(**layout)


class VaeEncoder(nn.Module):
    """The encoding half of LDM's AutoencoderKL."""

    def __init__(self, layout: Mapping[str, Any]) -> None:
        from ldm.modules.diffusionmodules.model import Encoder  # noqa: TID251 - the one place for LDM

        super().__init__()
        self.encoder = Encoder(**layout)
        self.quant_conv = nn.Conv2d(2 * layout["z_channels"], 2 * layout["z_channels"], 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, H, W] in [-1, 1] -> mean and standard deviation, [N, 4, H/8, W/8] each (LDM
        DiagonalGaussianDistribution)."""
        mean, log_variance = self.quant_conv(self.encoder(pixels)).chunk(2, dim=1)
        return mean, torch.exp(0.5 * log_variance.clamp(-30.0, 20.0))


def _build_text_encoder(tensors: Mapping[str, Tensor], options: Mapping[str, Any], name: str) -> nn.Module:
    """transformers' CLIPTextModel, its sizes read from the tensors; the number of heads from the yaml or one per 64
    channels."""
    from transformers import CLIPTextConfig, CLIPTextModel

    tensors = {key.removeprefix("text_model."): value for key, value in tensors.items()}
    try:
        vocabulary, width = tensors["embeddings.token_embedding.weight"].shape
        inner = tensors["encoder.layers.0.mlp.fc1.weight"].shape[0]
    except KeyError:
        raise TrainingError(
            f"{name} has another text encoder than Stable Diffusion 1.x (CLIP); PIA is trained on SD1.5 checkpoints."
        ) from None
    layers = len({key.split(".")[2] for key in tensors if key.startswith("encoder.layers.")})
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=options.get("num_attention_heads", max(1, width // HEAD_WIDTH)),
        max_position_embeddings=tensors["embeddings.position_embedding.weight"].shape[0],
        projection_dim=width,
        hidden_act="quick_gelu",
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    model = CLIPTextModel(config)
    if any(key.startswith("text_model.") for key in model.state_dict()):  # transformers before 5
        tensors = {f"text_model.{key}": value for key, value in tensors.items()}
    buffers = {key: value for key, value in model.state_dict().items() if key.endswith("position_ids")}
    return _load(model, {**tensors, **buffers}, "text encoder", name)


def build_tokenizer(clip: str) -> Any:
    """CLIP's tokenizer from a folder, or of that name from the hub's files on this machine, or only then from the
    network, where without a connection the hub tries for minutes."""
    from transformers import CLIPTokenizer

    for local in (True, False) if HUB_NAME.fullmatch(clip) else (True,):
        if not local:
            logger.warning(
                "CLIP's tokenizer %s is not on this machine; asking Hugging Face, which takes minutes without a "
                "connection (--clip FOLDER with its vocab.json and merges.txt needs none).",
                clip,
            )
        with contextlib.suppress(OSError, ValueError, TypeError):
            return CLIPTokenizer.from_pretrained(clip, local_files_only=local)
    raise TrainingError(
        f"CLIP's tokenizer could not be loaded from {clip}; give --clip a folder with its vocab.json and merges.txt."
    )


class LdmCheckpoint:
    """UNet, VAE encoder and text encoder of a checkpoint, frozen, on one device; an `Encoders` for `FolderClips`."""

    def __init__(self, path: str | Path, config: str | Path | None = None, clip: str = CLIP_NAME) -> None:
        path = Path(path)
        layout = read_layout(path, Path(config) if config else None)
        tensors = read_tensors(path)
        self.name = path.name
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # LDM announces itself
                unet, vae = _build_unet(layout.unet), VaeEncoder(layout.vae)
            text = _build_text_encoder(_part(tensors, TEXT, self.name), layout.text, self.name)
            self.tokenizer = build_tokenizer(clip)
        except ImportError as error:
            raise TrainingError(
                f"Training a checkpoint needs LDM's classes and transformers ({error}); install them: {INSTALL}"
            ) from None
        self.unet = _load(unet, _part(tensors, UNET, self.name), "UNet", self.name)
        self.vae = _load(vae, _part(tensors, VAE, self.name), "VAE", self.name)
        self.text = text

        self.device = torch.device("cpu")

    def to(self, device: torch.device) -> LdmCheckpoint:
        for module in (self.unet, self.vae, self.text):
            module.to(device)
        self.device = device
        return self

    @torch.no_grad()
    def moments(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """pixels [N, 3, H, W] in [-1, 1] -> mean and standard deviation of the posterior, [N, 4, H/8, W/8], not
        scaled."""
        return self.vae(pixels.to(self.device))

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Tensor:
        """[N, 77, D]: CLIP's last hidden state; longer texts are cut."""
        ids = self.tokenizer(
            texts, max_length=TOKENS, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        return self.text(ids.to(self.device)).last_hidden_state
