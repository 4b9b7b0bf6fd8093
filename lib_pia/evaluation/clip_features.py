"""CLIP's features of pictures and texts, by `transformers`, from a local folder or the cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .errors import EvaluationError

MEAN = (0.48145466, 0.4578275, 0.40821073)  # openai/CLIP, clip.py `_transform`, as the two below
STD = (0.26862954, 0.26130258, 0.27577711)
MAX_TOKENS = 77  # start and end included
AT_ONCE = 16


class ClipFeatures:
    """`model`: a transformers CLIPModel; `tokenizer`: its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, device: str | None = None) -> None:
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.tokenizer = model.eval().to(self.device), tokenizer
        self.side = model.config.vision_config.image_size

    @classmethod
    def load(cls, name: str, device: str | None = None) -> ClipFeatures:
        """From a folder or the cache; nothing is downloaded. Raises EvaluationError."""
        from transformers import CLIPModel, CLIPTokenizer

        try:
            model, loaded = CLIPModel.from_pretrained(name, local_files_only=True, output_loading_info=True)
            tokenizer = CLIPTokenizer.from_pretrained(name, local_files_only=True)
        except Exception as error:  # transformers raises many kinds
            raise EvaluationError(
                f"The CLIP model {name} is not on this machine or cannot be read ({type(error).__name__}); fetch it "
                f'once with "huggingface-cli download {name}", or give the folder that holds it with --clip.'
            ) from None
        missing = [key for key in loaded["missing_keys"] if not key.endswith("position_ids")]
        if missing:
            raise EvaluationError(
                f"The CLIP model {name} lacks {len(missing)} tensors ({missing[0]}, ...), so it is no CLIP model or is "
                "damaged; give another one with --clip."
            )
        return cls(model, tokenizer, device)

    @torch.no_grad()
    def pictures(self, pictures: Iterable[Image.Image | np.ndarray]) -> Tensor:
        """Unit vectors [N, D] of PIL pictures or [H, W, 3] uint8 arrays."""
        pixels = [prepared(picture, self.side) for picture in pictures]
        parts = []
        for start in range(0, len(pixels), AT_ONCE):
            batch = torch.stack(pixels[start : start + AT_ONCE]).to(self.device)
            pooled = self.model.vision_model(pixel_values=batch).pooler_output
            parts.append(self.model.visual_projection(pooled).float().cpu())
        return torch.nn.functional.normalize(torch.cat(parts), dim=-1)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [N, D]; longer texts are cut to 77 tokens, as CLIP does."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        tokens = {key: value.to(self.device) for key, value in tokens.items() if key in ("input_ids", "attention_mask")}
        pooled = self.model.text_model(**tokens).pooler_output
        return torch.nn.functional.normalize(self.model.text_projection(pooled).float().cpu(), dim=-1)

    def is_cut(self, text: str) -> bool:
        """Whether CLIP does not see the end of the text."""
        return len(self.tokenizer(text)["input_ids"]) > MAX_TOKENS


def prepared(picture: Image.Image | np.ndarray, side: int) -> Tensor:
    """[3, side, side]: shorter side to `side` (bicubic), the middle cut out, normalised as in openai/CLIP."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image = image.convert("RGB")
    width, height = image.size
    short = min(width, height)
    width, height = int(side * width / short), int(side * height / short)
    image = image.resize((width, height), Image.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    pixels = np.asarray(image.crop((left, top, left + side, top + side)), dtype=np.float32) / 255
    return torch.from_numpy((pixels - np.float32(MEAN)) / np.float32(STD)).permute(2, 0, 1)
