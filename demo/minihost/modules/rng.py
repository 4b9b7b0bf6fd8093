"""The noise of every picture comes from its own seed, so that a picture is the same in any batch."""
import torch
from modules import devices, shared


def _source() -> torch.device:
    """Where random numbers are drawn (the setting "randn_source")."""
    return devices.device if shared.opts.randn_source == "GPU" else devices.cpu


def _seeded(seed: int, shape, generator: torch.Generator | None = None) -> torch.Tensor:
    """Leaves torch's global state at `seed`, as the WebUI does; draws from there where no generator is given."""
    torch.manual_seed(int(seed))
    return torch.randn(shape, device=_source(), generator=generator).to(devices.device)


def slerp(val, low, high):
    """From `low` to `high` on a sphere, angles taken over dim 1; `val` is the share of `high`."""
    unit_low, unit_high = (torch.nn.functional.normalize(one, dim=1) for one in (low, high))
    cosine = torch.sum(unit_low * unit_high, dim=1)
    if float(cosine.mean()) > 0.9995:           # too near for an angle; the WebUI mixes the other way round here
        return val * low + (1 - val) * high
    omega = cosine.acos()
    share_low, share_high = (torch.sin(part * omega).div(omega.sin())[:, None] for part in (1 - val, val))
    return share_low * low + share_high * high


class ImageRNG:
    """`next()` gives noise [pictures, *shape]: first the start, then what the sampler asks for."""

    def __init__(self, shape, seeds, subseeds=None, subseed_strength=0.0, seed_resize_from_h=0, seed_resize_from_w=0):
        self.shape, self.seeds, self.subseeds = tuple(int(size) for size in shape), seeds, subseeds
        self.subseed_strength = subseed_strength
        self.seed_resize_from_h, self.seed_resize_from_w = seed_resize_from_h, seed_resize_from_w
        self.generators = [torch.Generator(_source()).manual_seed(int(seed)) for seed in seeds]
        self.is_first = True

    def next(self) -> torch.Tensor:
        if not self.is_first:
            drawn = [torch.randn(self.shape, device=_source(), generator=one) for one in self.generators]
            return torch.stack(drawn).to(devices.device)
        self.is_first = False
        return torch.stack([self._start(number) for number in range(len(self.seeds))])

    def _start(self, number: int) -> torch.Tensor:
        seed, generator = self.seeds[number], self.generators[number]
        height, width = self.seed_resize_from_h, self.seed_resize_from_w
        small = (self.shape[0], height // 8, width // 8) if height > 0 and width > 0 else self.shape
        other = None
        if self.subseeds is not None and self.subseed_strength:
            other = _seeded(self.subseeds[number] if number < len(self.subseeds) else 0, small)
        noise = _seeded(seed, small, generator if small == self.shape else None)
        if other is not None:
            noise = slerp(self.subseed_strength, noise, other)
        return noise if small == self.shape else _centred(noise, _seeded(seed, self.shape, generator))


def _centred(noise: torch.Tensor, canvas: torch.Tensor) -> torch.Tensor:
    """`noise` in the middle of `canvas` [C, H, W]; what stands out is cut off."""
    to, take = [slice(None)], [slice(None)]
    for have, room in zip(noise.shape[1:], canvas.shape[1:]):
        length = min(have, room)
        to.append(slice((room - length) // 2, (room - length) // 2 + length))
        take.append(slice((have - length) // 2, (have - length) // 2 + length))
    canvas[tuple(to)] = noise[tuple(take)]
    return canvas
