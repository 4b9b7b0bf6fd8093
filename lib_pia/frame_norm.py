"""GroupNorm whose statistics run over all frames of a clip together (PIA: LDM's GroupNorm32 on [B, C, F, H, W])."""
from __future__ import annotations

import torch
from torch import Tensor, nn


def clip_group_norm(x: Tensor, num_frames: int, norm: nn.GroupNorm) -> Tensor:
    """`norm` on x [B*F, C, H, W], its statistics taken over F, H, W and the channels of a group; the result has x's shape and dtype.

    Two passes over x in its own layout: per-frame moments, merged over the clip in fp32, then one multiply-add. No permuted copy is made.
    """
    rows, channels = x.shape[:2]
    groups = norm.num_groups
    y = x.float()
    flat = y.reshape(rows * groups, -1)
    var, mean = torch.var_mean(flat, dim=1, correction=0)                        # [B*F*G]
    mean, var = (t.view(-1, num_frames, groups) for t in (mean, var))           # [B, F, G]
    clip_mean = mean.mean(dim=1, keepdim=True)
    clip_var = (var + (mean - clip_mean).square()).mean(dim=1, keepdim=True)
    scale = torch.rsqrt(clip_var + norm.eps).repeat_interleave(channels // groups, dim=2)         # [B, 1, C]
    shift = -clip_mean.repeat_interleave(channels // groups, dim=2) * scale
    if norm.weight is not None:
        weight, bias = norm.weight.float(), norm.bias.float()
        scale, shift = scale * weight, shift * weight + bias
    scale, shift = (t.unsqueeze(-1) for t in (scale, shift))                    # [B, 1, C, 1]
    out = torch.addcmul(shift, y.reshape(-1, num_frames, channels, x[0, 0].numel()), scale)
    return out.reshape(x.shape).to(x.dtype)
