"""The noise of every picture comes from its own seed, so that a picture is the same in any batch."""

import torch
from modules import devices, shared
from torch.nn import functional


def _source() -> torch.device:
    """Where random numbers are drawn (the setting "randn_source")."""
    return devices.device if shared.opts.randn_source == "GPU" else devices.cpu


def _seeded(seed: int, shape, generator: torch.Generator | None = None) -> torch.Tensor:
    """Leaves torch's global state at `seed`, as the WebUI does; draws from there where no generator is given."""
    torch.manual_seed(int(seed))
    return torch.randn(shape, device=_source(), generator=generator).to(devices.device)


def slerp(val, low, high):
    """From `low` to `high` on a sphere, angles taken over dim 1; `val` is the share of `high`."""
    cosine = functional.cosine_similarity(low, high, dim=1, eps=0)
    omega = cosine.acos()
    share_low, share_high = (torch.sin(part * omega).div(omega.sin())[:, None] for part in (1 - val, val))
    return share_low * low + share_high * high


class ImageRNG:
    """`next()` gives noise [pictures, *shape]: first the start, then what the sampler asks for."""

    def __init__(self, shape, seeds, subseeds=None, subseed_strength=0, seed_resize_from_h=0, seed_resize_from_w=0):
        self.shape, self.seeds, self.subseeds = tuple(int(size) for size in shape), seeds, subseeds
        self.subseed_strength, self.resized_from = subseed_strength, (seed_resize_from_h // 8, seed_resize_from_w // 8)
        self.generators = [torch.Generator(_source()).manual_seed(int(seed)) for seed in seeds]
        self.is_first = True

    def next(self) -> torch.Tensor:
        if self.is_first:
            self.is_first = False
            each = zip(self.seeds, self.subseeds or self.seeds, self.generators)
            return torch.stack([self._start(*one) for one in each])
        drawn = [torch.randn(self.shape, device=_source(), generator=one) for one in self.generators]
        return torch.stack(drawn).to(devices.device)

    def _start(self, seed, subseed, generator) -> torch.Tensor:
        small = (self.shape[0], *self.resized_from) if min(self.resized_from) > 0 else self.shape
        other = _seeded(subseed, small) if self.subseeds is not None and self.subseed_strength else None
        noise = _seeded(seed, small, generator if small == self.shape else None)
        if other is not None:
            noise = slerp(self.subseed_strength, noise, other)
        if small == self.shape:
            return noise
        # noise of another size stands in the middle, and what stands out is cut off
        more = [self.shape[side] - small[side] for side in (2, 1)]
        around = [part for size in more for part in (size // 2, size - size // 2)]
        inside = functional.pad(torch.ones_like(noise), around) > 0
        return torch.where(inside, functional.pad(noise, around), _seeded(seed, self.shape, generator))
