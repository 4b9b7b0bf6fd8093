"""The setting `attention_of`: where a word of the prompt acts in a clip, read while the host samples it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor

from lib_pia.attention_map import AttentionReader, read_attention, word_positions
from lib_pia.errors import SettingsError
from lib_pia.windows import Window

_AND = re.compile(r"\bAND\b")
_CHANGES = re.compile(r"\[[^\[\]]*[:|][^\[\]]*\]")  # [from:to:when], [one|other]


def positions_of(encoder: Any, prompt: str, word: str) -> list[list[int]]:
    """The word's token positions in each part (AND) of a prompt as the host encodes it; [] in parts without it.

    encoder: the host's text encoder. Raises SettingsError where no part has the word.
    """
    if _CHANGES.search(prompt):
        raise SettingsError(
            "PIA setting attention_of cannot follow a prompt that changes while it samples; leave [from:to:when] and "
            "[one|other] out."
        )
    parts = _AND.split(prompt)
    ids = list(encoder.tokenize([word])[0])
    chunks = [[chunk.tokens for chunk in encoder.tokenize_line(part)[0]] for part in parts]
    found = [_positions(part, ids, word) for part in chunks]
    if not any(found):
        word_positions(chunks[0], ids, word)  # says that it is not there
    return found


def _positions(chunks: Sequence[Sequence[int]], ids: list[int], word: str) -> list[int]:
    try:
        return word_positions(chunks, ids, word)
    except SettingsError:
        return []


class WordAttention:
    """The attention to a word in one clip of `num_frames`. Raises SettingsError where the prompt lacks it."""

    def __init__(self, p: Any, word: str, num_frames: int) -> None:
        self.word, self.num_frames = word, num_frames
        self.tokens = positions_of(p.sd_model.cond_stage_model, p.prompts[0], word)
        self.reader: AttentionReader | None = None

    def reading(self, unet: Any, latent: Tensor) -> AbstractContextManager[None]:
        """Inside the block the calls of `unet` are read; `latent`: [1, 4, H, W] of the clip's picture."""
        self.reader = AttentionReader(self.num_frames, tuple(latent.shape[2:]))
        return read_attention(unet, self.reader)

    def begin_step(self, window: Window) -> None:
        """`on_cfg_denoiser`: the UNet is about to get the cond rows of a window, part by part, and then the others."""
        self.reader.begin_step(self.tokens, range(window.start, window.start + window.length))

    def maps(self) -> Tensor:
        """[F, h, w]. Raises HostError where nothing was seen."""
        return self.reader.maps()
