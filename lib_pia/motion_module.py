"""PIA's motion module: a temporal transformer that lets the frames of a clip look at each other, pixel by pixel.

Layer names are those of the official PIA file (AnimateDiff's `VanillaTemporalModule`), so its state dict loads as it
is. Shape letters: B groups (cond/uncond), F frames, C channels, H W latent size, P = H*W pixels. [B*F, ...] is frame
fastest.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 32  # animatediff/models/motion_module.py: norm_num_groups
NORM_EPS = 1e-6  # the same: GroupNorm of the temporal transformer
MAX_FRAMES = 32  # configs: temporal_position_encoding_max_len
HEADS = 8  # configs: num_attention_heads
FREQUENCY_BASE = 10000.0  # the sinusoids of "Attention is all you need"
TOKENS_PER_PIECE = (
    16384  # of the feed-forward: keeps its inner tensor under 0.4 GB in fp16 at C = 1280; enough to fill a GPU
)
TOKENS_PER_PIECE_CPU = 512  # measured: the fastest of 256..2048 on one core (the inner tensor stays in the cache)
GRID_LIMIT = 65535  # CUDA's limit on the y and z sides of a launch grid, which attention kernels use for the batch


def sinusoids(length: int, dim: int) -> Tensor:
    """Sinusoidal position encoding [1, length, dim]: sines at even, cosines at odd places."""
    position = torch.arange(length).unsqueeze(1)
    rate = torch.exp(torch.arange(0, dim, 2) * (-math.log(FREQUENCY_BASE) / dim))
    table = torch.zeros(1, length, dim)
    table[0, :, 0::2] = torch.sin(position * rate)
    table[0, :, 1::2] = torch.cos(position * rate)
    return table


class PositionEncoding(nn.Module):
    """Holds the table `pe` [1, max_frames, C] of a PIA file; `forward(num_frames)` gives its first rows as [F, 1,
    C]."""

    def __init__(self, dim: int, max_frames: int = MAX_FRAMES) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoids(max_frames, dim))

    def forward(self, num_frames: int) -> Tensor:
        return self.pe[0, :num_frames, None]


class TemporalAttention(nn.Module):
    """Self-attention along the frames, 8 heads, no bias in q, k, v; with position encoding on its input."""

    def __init__(self, dim: int, max_frames: int = MAX_FRAMES, heads: int = HEADS) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(dim, dim, bias=False)
        self.to_v = nn.Linear(dim, dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])  # a list because the file calls it to_out.0
        self.pos_encoder = PositionEncoding(dim, max_frames)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """What the frames tell each other, before the output projection. x: [B*F, P, C], normalised -> [B*F, P, C]."""
        pe = self.pos_encoder(num_frames).to(x.dtype)
        x = x.unflatten(0, (-1, num_frames))  # -> [B, F, P, C]
        x = (x + pe if torch.is_grad_enabled() else x.add_(pe)).flatten(0, 1)
        q, k, v = (self._split(layer(x), num_frames) for layer in (self.to_q, self.to_k, self.to_v))
        return frame_attention(q, k, v).flatten(0, 1).flatten(2)

    def _split(self, x: Tensor, num_frames: int) -> Tensor:
        return x.unflatten(0, (-1, num_frames)).unflatten(-1, (self.heads, -1))  # [B*F, P, C] -> [B, F, P, heads, d]


def frame_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v along F, for each group, pixel and head. All [B, F, P, heads, d].

    No copy is made to gather a pixel's frames: the kernels take strides. Batches stay under CUDA's grid limit of 65535.
    """
    step = GRID_LIMIT // q.shape[3]
    groups = []
    for b in range(q.shape[0]):
        parts = []
        for start in range(0, q.shape[2], step):
            qb, kb, vb = (t[b, :, start : start + step].permute(1, 2, 0, 3) for t in (q, k, v))  # -> [P', heads, F, d]
            parts.append(functional.scaled_dot_product_attention(qb, kb, vb).permute(2, 0, 1, 3))
        groups.append(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
    return torch.stack(groups)


class Gate(nn.Module):
    """GEGLU: [N, C] -> [N, 4C]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, dim * 8)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        if torch.is_grad_enabled():
            return value * functional.gelu(gate)
        return value.mul_(torch.ops.aten.gelu_(gate))


class FeedForward(nn.Module):
    """GEGLU feed-forward, four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.ModuleList(
            [Gate(dim), nn.Identity(), nn.Linear(dim * 4, dim)]
        )  # the file calls them net.0.proj and net.2

    def add_to(self, x: Tensor, y: Tensor) -> Tensor:
        """x + feed-forward of y, both [B*F, P, C]. Without gradients in pieces of tokens, so that the wide inner tensor
        stays small."""
        if torch.is_grad_enabled():
            return x + self.net[2](self.net[0](y))
        rows = TOKENS_PER_PIECE_CPU if x.device.type == "cpu" else TOKENS_PER_PIECE
        for into, piece in zip(x.flatten(0, 1).split(rows), y.flatten(0, 1).split(rows)):
            add_linear(into, self.net[0](piece), self.net[2])
        return x


class TemporalBlock(nn.Module):
    """Two temporal attentions and a feed-forward, each after its LayerNorm and added to the stream."""

    def __init__(self, dim: int, max_frames: int, heads: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(TemporalAttention(dim, max_frames, heads) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.ff = FeedForward(dim)
        self.ff_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """x: [B*F, P, C] -> [B*F, P, C]; without gradients x itself is overwritten."""
        for attention, norm in zip(self.attention_blocks, self.norms):
            x = add_linear(x, attention(norm(x), num_frames), attention.to_out[0])
        return self.ff.add_to(x, self.ff_norm(x))


def add_linear(x: Tensor, y: Tensor, layer: nn.Linear) -> Tensor:
    """x + layer(y); where no gradient needs x it is overwritten, by the matrix product itself if the dtypes allow."""
    if torch.is_grad_enabled():
        return x + layer(y)
    if x.dtype == y.dtype == layer.weight.dtype and not torch.is_autocast_enabled():
        x.view(-1, x.shape[-1]).addmm_(y.reshape(-1, y.shape[-1]), layer.weight.t())
        return x.add_(layer.bias)
    return x.add_(layer(y))


class TemporalTransformer(nn.Module):
    def __init__(self, dim: int, max_frames: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, dim, eps=NORM_EPS)
        self.proj_in = nn.Linear(dim, dim)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(dim, max_frames, heads)])
        self.proj_out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # -> [B*F, P, C]
        tokens = self.transformer_blocks[0](self.proj_in(tokens), num_frames)
        return x + self.proj_out(tokens).transpose(1, 2).unflatten(2, x.shape[2:])


class MotionModule(nn.Module):
    """x [B*F, C, H, W] -> the same shape: the input plus what the frames of a clip tell each other.

    GroupNorm is per frame, attention per pixel along the F frames; groups never mix. A zero `proj_out` makes it the
    identity (how training starts; AnimateDiff, motion_module.py `zero_initialize`).
    """

    def __init__(self, dim: int, max_frames: int = MAX_FRAMES, heads: int = HEADS) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(dim, max_frames, heads)
        nn.init.zeros_(self.temporal_transformer.proj_out.weight)
        nn.init.zeros_(self.temporal_transformer.proj_out.bias)

    @property
    def dim(self) -> int:
        """Number of channels C."""
        return self.temporal_transformer.proj_in.out_features

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        return self.temporal_transformer(x, num_frames)
