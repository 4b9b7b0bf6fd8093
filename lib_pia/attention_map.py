"""Where a word of the prompt acts in a clip: its cross-attention maps (paper, section 11.1 and figure 15).

The maps are read by forward hooks on `attn2.to_q` and `attn2.to_k`, which every attention optimisation of the host
calls as modules, so that LoRA is in them. Nothing is replaced; the hooks are gone after the block.

What is averaged:
* Layers of 32x32 and 16x16 at 512 px: the literature reads what a word means at 16x16 (Hertz et al., arXiv 2208.01626;
  Chefer et al., 2301.13826, section 3). In a latent under 32 cells a half is coarser than that, and the finest layers
  are read alone.
* The decoder's layers alone. Their queries have been through the whole UNet; the encoder's come from a noisy latent
  after a few convolutions. Others read a UNet's features off its decoder for that reason (Tumanyan et al.,
  2211.12572; Tang et al., 2306.03881).
* Each layer's map over its own mean, so that each has the same say in *where* the word acts. How much attention a layer
  gives to a word everywhere differs by an order of magnitude and says nothing about a place, but without this the layer
  that gives most decides (Chen et al., 2304.03373, too, take of each layer the share that is inside a box).
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
SMALL_LATENT = 32  # cells; a half of a smaller latent's side is coarser than 16x16
DECODER = ("output_blocks.",)
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
    """A half and a quarter of the latent's side: 32x32 and 16x16 at 512 px; the whole of small latents."""
    return (2, 4) if min(latent) >= SMALL_LATENT else (1,)


@dataclasses.dataclass
class AttentionReader:
    """The attention to some tokens, added up over steps and heads for each layer.

    num_frames: F of the whole clip. latent: (height, width) in cells. factors: layers at 1/factor of the latent's side
    are read; the usual ones if empty. steps: the steps that are read, counted from 0; all if None. layers: beginnings
    of the names of the layers that are read; all if empty.
    """

    num_frames: int
    latent: tuple[int, int]
    factors: tuple[int, ...] = ()
    steps: range | None = None
    layers: tuple[str, ...] = DECODER

    def __post_init__(self) -> None:
        self.factors = tuple(self.factors) or usual_factors(self.latent)
        self.sides = [layer_sides(self.latent, factor) for factor in self.factors]
        self.sums: dict[nn.Module, Tensor] = {}  # by layer: [F, cells]
        self.counts: dict[nn.Module, Tensor] = {}  # what was added: [F]
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
                frame = self.frames.start + row - part * length
                self._add(layer, frame, _attention(layer.heads, q[rows], k[rows], tokens))

    def _add(self, layer: nn.Module, frame: int, weights: Tensor) -> None:
        """weights: [frames, cells], from `frame` on."""
        if layer not in self.sums:
            self.sums[layer] = torch.zeros(self.num_frames, weights.shape[1], device=weights.device)
            self.counts[layer] = torch.zeros(self.num_frames)
        self.sums[layer][frame : frame + len(weights)] += weights
        self.counts[layer][frame : frame + len(weights)] += 1

    def maps(self) -> Tensor:
        """[F, height, width] float32, the finest size: the attention that a place gives to the tokens, over that of the
        clip's average place, averaged over layers. 0 in frames that were never computed.

        Raises HostError where no layer was seen.
        """
        if not self.sums:
            wanted = " or ".join(f"{height}x{width}" for height, width in self.sides)
            raise HostError(
                f"No cross-attention layer of {wanted} was seen while the clip was made, because another extension "
                "replaced it; switch that extension off, or leave attention_of empty."
            )
        finest, sides = max(self.sides), {height * width: (height, width) for height, width in self.sides}
        total = torch.zeros(self.num_frames, *finest)
        for layer, sums in self.sums.items():
            counts = self.counts[layer]
            found = sums.cpu() / counts.clamp(min=1)[:, None]
            level = found[counts > 0].mean().clamp(min=torch.finfo(found.dtype).tiny)
            found = (found / level).view(-1, 1, *sides[sums.shape[1]])
            total += interpolate(found, finest, mode="bilinear", align_corners=False)[:, 0]
        return total / len(self.sums)


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
