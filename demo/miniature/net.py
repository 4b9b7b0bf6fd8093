"""The miniature as one checkpoint in Stable Diffusion 1.x's layout: LDM's UNet, a CLIP text encoder, the KL VAE."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from .tokenizer import LENGTH, Tokenizer
from .vae import AutoencoderKL

MODELS = Path(__file__).parents[1] / "models"
WIDTH = 64
UNET = {
    "image_size": 8, "in_channels": 4, "out_channels": 4, "model_channels": WIDTH, "attention_resolutions": [4, 2, 1],
    "num_res_blocks": 2, "channel_mult": [1, 1, 1, 1], "num_heads": 4, "use_spatial_transformer": True,
    "transformer_depth": 1, "context_dim": WIDTH, "use_checkpoint": False, "legacy": False,
}  # fmt: skip
TEXT = {
    "hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 49408, "max_position_embeddings": LENGTH, "hidden_act": "quick_gelu", "projection_dim": WIDTH,
}  # fmt: skip
TOKEN_STD = 0.1  # CLIP starts with 0.02; more, so that words and not places make the encodings: they stay as drawn
UNET_PREFIX, TEXT_PREFIX, VAE_PREFIX = "model.diffusion_model.", "cond_stage_model.transformer.", "first_stage_model."


def base_alphas_cumprod() -> torch.Tensor:
    """SD1.5's own schedule: betas linear in their square root, 0.00085..0.012, 1000 steps (v1-inference.yaml). [1000]
    float64."""
    betas = torch.linspace(0.00085**0.5, 0.0120**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


def text_config(width: int = WIDTH) -> dict:
    """TEXT for a text encoder of another width."""
    return TEXT | {"hidden_size": width, "intermediate_size": 4 * width, "projection_dim": width}


def text_width(path: Path) -> int:
    """The width of a checkpoint's text encoder."""
    with safe_open(path, "pt") as file:
        return file.get_slice(_sd_name(TEXT_PREFIX, "embeddings.token_embedding.weight")).get_shape()[1]


class Miniature(nn.Module):
    """`unet`, `text`, `vae` and the tokenizer."""

    def __init__(self, text_width: int = WIDTH):
        super().__init__()
        from ldm.modules.diffusionmodules.openaimodel import UNetModel
        from transformers import CLIPTextConfig, CLIPTextModel

        self.unet = UNetModel(**UNET | {"context_dim": text_width})
        self.text = CLIPTextModel(CLIPTextConfig(**text_config(text_width)))
        nn.init.normal_(self.text.get_input_embeddings().weight, std=TOKEN_STD)
        self.vae = AutoencoderKL()
        self.tokenizer = Tokenizer()

    def encode_text(self, texts: list[str]) -> torch.Tensor:
        """Conditioning [N, 77, text width]: the last layer after the final norm, as Stable Diffusion 1.x takes it."""
        unique = list(dict.fromkeys(texts))
        hidden = self.text(self.tokenizer(unique)).last_hidden_state
        return hidden[torch.tensor([unique.index(t) for t in texts])]

    def state(self) -> dict[str, torch.Tensor]:
        """The checkpoint's tensors under Stable Diffusion 1.x's names."""
        parts = {UNET_PREFIX: self.unet, TEXT_PREFIX: self.text, VAE_PREFIX: self.vae}
        return {_sd_name(prefix, name): t for prefix, part in parts.items() for name, t in part.state_dict().items()}

    def save(self, path: Path, half: bool = True) -> None:
        tensors = {n: (t.half() if half and t.is_floating_point() else t).contiguous() for n, t in self.state().items()}
        save_file(tensors, path, metadata={"format": "pt"})

    @classmethod
    def load(cls, path: Path = MODELS / "miniature.safetensors") -> "Miniature":
        """A miniature from a checkpoint, float32, eval, without gradients."""
        model, tensors = cls(text_width(path)), load_file(path)
        own = {name: tensors[name].float() for name in model.state()}
        for prefix, part in {UNET_PREFIX: model.unet, TEXT_PREFIX: model.text, VAE_PREFIX: model.vae}.items():
            part.load_state_dict({name: own[_sd_name(prefix, name)] for name in part.state_dict()})
        return model.eval().requires_grad_(False)


def _sd_name(prefix: str, name: str) -> str:
    """transformers 5 dropped the `text_model.` level that Stable Diffusion checkpoints have."""
    if prefix == TEXT_PREFIX and not name.startswith("text_model."):
        return f"{prefix}text_model.{name}"
    return prefix + name
