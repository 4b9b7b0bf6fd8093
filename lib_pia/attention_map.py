"""Where a word of the prompt acts in a clip: its cross-attention maps (paper, section 11.1 and figure 15).

The maps are read by forward hooks on `attn2.to_q` and `attn2.to_k`, which every attention optimisation of the host
calls as modules, so that LoRA is in them. Nothing is replaced; the hooks are gone after the block.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .errors import HostError, SettingsError

CHUNK = 77  # tokens of one chunk of a prompt, start and end included (CLIP's context length)
SMALL_LATENT = 32  # cells; below it the maps of a half and a quarter of the latent's side show nothing
ROWS_AT_ONCE = 4  # of which the attention is computed together: 10 MB at 32x32 with 8 heads
# Black, blue, red, yellow, white, evenly spread over 0..1: brighter is always more
HEAT = np.array([[0, 0, 0], [30, 60, 190], [220, 50, 40], [255, 210, 40], [255, 255, 255]], dtype=np.float32)


def word_positions(chunks: Sequence[Sequence[int]], word_ids: Sequence[int], word: str) -> list[int]:
    """Positions of a word's tokens among the prompt's, every occurrence, counted through all chunks.

    Args:
        chunks: the prompt's token ids in chunks of 77 with start and end.
        word_ids: the word's token ids without start and end.
    Raises:
        SettingsError: the word is not in the prompt.
    """
    size, found = len(word_ids), []
    for number, chunk in enumerate(chunks):
        for start in range(1, len(chunk) - size):
            if size and list(chunk[start : start + size]) == list(word_ids):
                found += range(number * CHUNK + start, number * CHUNK + start + size)
    if not found:
        raise SettingsError(
            f"PIA setting attention_of is {word!r}, which is not in the prompt; give a word as it stands there."
        )
    return sorted(set(found))


def layer_sides(latent: tuple[int, int], factor: int) -> tuple[int, int]:
    """(height, width) of the layers at 1/`factor` of a latent; a halving rounds up, as the UNet's convolutions do."""
    for _ in range(int(math.log2(factor))):
        latent = tuple((side + 1) // 2 for side in latent)
    return latent


def usual_factors(latent: tuple[int, int]) -> tuple[int, ...]:
    """A half and a quarter of the latent's side: 32x32 and 16x16 at 512 px; small latents whole and half."""
    return (2, 4) if min(latent) >= SMALL_LATENT else (1, 2)


@dataclasses.dataclass
class AttentionReader:
    """The attention to some tokens, added up over steps, layers and heads.

    num_frames: F of the whole clip. latent: (height, width) in cells. factors: layers at 1/factor of the latent's side
    are read. steps: the steps that are read, counted from 0; all if None. layers: beginnings of the names of the
    layers that are read, as "output_blocks."; all if empty.
    """

    num_frames: int
    latent: tuple[int, int]
    factors: tuple[int, ...] = ()
    steps: range | None = None
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.factors = tuple(self.factors) or usual_factors(self.latent)
        self.sides = [layer_sides(self.latent, factor) for factor in self.factors]
        self.sums: dict[int, Tensor] = {}  # by number of cells: [F, cells]
        self.counts: dict[int, Tensor] = {}  # what was added: [F]
        self.step, self.row, self.tokens, self.frames = -1, 0, (), range(0)

    @property
    def is_empty(self) -> bool:
        """Whether no layer was read."""
        return not self.sums

    def begin_step(self, tokens: Sequence[Sequence[int]], frames: range | None = None) -> None:
        """The next rows that the UNet gets are K*L cond ones, part-major, and then others, in one call or several.

        tokens: for each of the K parts of the prompt (AND) the positions that are read, perhaps none.
        frames: which L frames of the clip they are; all of them if None.
        """
        self.frames = range(self.num_frames) if frames is None else frames
        self.step, self.row = self.step + 1, 0
        wanted = self.steps is None or self.step in self.steps
        self.tokens = tuple(tuple(part) for part in tokens) if wanted else ()

    def read(self, layer: nn.Module, q: Tensor, k: Tensor) -> None:
        """Adds one call of an attention layer, whose rows follow `self.row`: q [R, cells, C], k [R, T, C]."""
        cells = q.shape[1]
        if cells not in {height * width for height, width in self.sides}:
            return
        length = len(self.frames)
        for part, tokens in enumerate(self.tokens):
            first = max(part * length, self.row)
            last = min((part + 1) * length, self.row + len(q))
            for row in range(first, last if tokens else first, ROWS_AT_ONCE):
                rows = slice(row - self.row, min(row + ROWS_AT_ONCE, last) - self.row)
                self._add(self.frames.start + row - part * length, _attention(layer.heads, q[rows], k[rows], tokens))

    def _add(self, frame: int, weights: Tensor) -> None:
        """weights: [frames, cells], from `frame` on."""
        cells = weights.shape[1]
        if cells not in self.sums:
            self.sums[cells] = torch.zeros(self.num_frames, cells, device=weights.device)
            self.counts[cells] = torch.zeros(self.num_frames)
        self.sums[cells][frame : frame + len(weights)] += weights
        self.counts[cells][frame : frame + len(weights)] += 1

    def maps(self) -> Tensor:
        """[F, height, width] float32: the mean share of attention that a cell gives to the tokens, at the finest size.

        Raises HostError where no layer was seen.
        """
        if not self.sums:
            wanted = " or ".join(f"{height}x{width}" for height, width in self.sides)
            raise HostError(
                f"No cross-attention layer of {wanted} was seen while the clip was made, because another extension "
                "replaced it; switch that extension off, or leave attention_of empty."
            )
        finest = max(self.sides)
        total = torch.zeros(self.num_frames, *finest)
        for height, width in self.sides:
            if (height * width) in self.sums:
                found = self.sums[height * width].cpu().view(-1, 1, height, width)
                total += interpolate(found, finest, mode="bilinear", align_corners=False)[:, 0]
        return total / sum(self.counts.values()).clamp(min=1)[:, None, None]


def _attention(heads: int, q: Tensor, k: Tensor, tokens: Sequence[int]) -> Tensor:
    """Softmax(q k^T / sqrt(d)), averaged over heads and `tokens`: [R, cells]."""
    q, k = (value.float().unflatten(-1, (heads, -1)).transpose(1, 2) for value in (q, k))  # [R, heads, ..., d]
    weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
    return weights[..., list(tokens)].mean((1, -1))


@contextmanager
def read_attention(unet: nn.Module, reader: AttentionReader) -> Iterator[None]:
    """Inside the block, every call of `unet` is read; afterwards no hook is left, however the block ends."""
    wanted = reader.layers or ("",)
    named = [(name, module) for name, module in unet.named_modules() if name.split(".")[-1] == "attn2"]
    layers = [module for name, module in named if name.startswith(wanted)]
    with ExitStack() as stack:
        for layer in layers:
            queries: list[Tensor] = []

            def keep(module: nn.Module, args: tuple, output: Tensor, queries: list[Tensor] = queries) -> None:
                queries[:] = [output.detach()]

            def read(
                module: nn.Module,
                args: tuple,
                output: Tensor,
                queries: list[Tensor] = queries,
                layer: nn.Module = layer,
            ) -> None:
                reader.read(layer, queries.pop(), output.detach())

            stack.callback(layer.to_q.register_forward_hook(keep).remove)
            stack.callback(layer.to_k.register_forward_hook(read).remove)
            stack.callback(queries.clear)

        def count(module: nn.Module, args: tuple, output: Tensor) -> None:
            reader.row += len(output)

        stack.callback(unet.register_forward_hook(count).remove)
        yield


def heat_frames(frames: np.ndarray, maps: Tensor) -> np.ndarray:
    """The maps as heat over the darkened grey frames: [F, H, W, 3] uint8, brightest where the attention is largest.

    frames: [F, H, W, 3] uint8. maps: [F, h, w]; one scale for the whole clip, from its smallest to its largest value.
    """
    height, width = frames.shape[1:3]
    shares = interpolate(maps[:, None].float(), (height, width), mode="bilinear", align_corners=False)[:, 0].numpy()
    low, high = float(shares.min()), float(shares.max())
    shares = (shares - low) / max(high - low, 1e-12)
    steps = np.linspace(0, 1, len(HEAT))
    heat = np.stack([np.interp(shares, steps, HEAT[:, colour]) for colour in range(3)], -1)
    grey = frames.astype(np.float32).mean(-1, keepdims=True)
    strength = 0.35 + 0.5 * shares[..., None]
    return np.round((1 - strength) * grey + strength * heat).clip(0, 255).astype(np.uint8)
