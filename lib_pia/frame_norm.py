"""GroupNorm whose statistics run over all frames of a clip together (PIA: LDM's GroupNorm32 on [B, C, F, H, W])."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def clip_group_norm(x: Tensor, num_frames: int, norm: nn.GroupNorm) -> Tensor:
    """`norm` on x [B*F, C, H, W], its statistics taken over F, H, W and the channels of a group; the result has x's
    shape and dtype.

    torch's own kernel normalises each frame and tells the frames' means and deviations; merging those gives the clip's,
    and one multiply-add per channel turns the one normalisation into the other. No permuted copy is made. Computed in
    fp32.
    """
    rows, channels = x.shape[:2]
    pixels, groups = x[0, 0].numel(), norm.num_groups
    out, mean, inverse = torch.native_group_norm(
        x.float().contiguous(), None, None, rows, channels, pixels, groups, norm.eps
    )
    mean, deviation = mean.view(-1, num_frames, groups), inverse.view(-1, num_frames, groups).reciprocal()  # [B, F, G]
    clip_mean = mean.mean(dim=1, keepdim=True)
    clip_variance = (deviation.square() + (mean - clip_mean).square()).mean(dim=1, keepdim=True)  # both with eps
    clip_inverse = clip_variance.rsqrt()
    per_channel = channels // groups
    scale = (deviation * clip_inverse).repeat_interleave(per_channel, dim=2)  # [B, F, C]
    shift = ((mean - clip_mean) * clip_inverse).repeat_interleave(per_channel, dim=2)
    if norm.weight is not None:
        weight, bias = norm.weight.float(), norm.bias.float()
        scale, shift = scale * weight, torch.addcmul(bias, shift, weight)
    out = torch.addcmul(shift.view(rows, channels, 1), out.view(rows, channels, pixels), scale.view(rows, channels, 1))
    return out.view(x.shape).to(x.dtype)
