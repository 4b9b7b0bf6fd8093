"""Noise per picture from its own generator, so that a picture does not depend on the batch it is made in."""
import torch
from modules import devices, shared


def _generator_device():
    return devices.cpu if shared.opts.randn_source == "CPU" else devices.device


def create_generator(seed):
    return torch.Generator(_generator_device()).manual_seed(int(seed))


def manual_seed(seed):
    torch.manual_seed(seed)


def randn_without_seed(shape, generator=None):
    return torch.randn(shape, device=_generator_device(), generator=generator).to(devices.device)


def randn(seed, shape, generator=None):
    """Also sets torch's global seed, as the host does."""
    manual_seed(seed)
    return randn_without_seed(shape, generator)


def randn_local(seed, shape):
    return randn_without_seed(shape, create_generator(seed))


def randn_like(x):
    return randn_without_seed(x.shape).to(x)


def slerp(val, low, high):
    """Spherical interpolation over dim 1; a straight line where the two nearly agree."""
    cosine = (torch.nn.functional.normalize(low, dim=1) * torch.nn.functional.normalize(high, dim=1)).sum(1)
    if cosine.mean() > 0.9995:
        return low * val + high * (1 - val)
    angle = torch.acos(cosine)
    first, second = torch.sin((1 - val) * angle) / torch.sin(angle), torch.sin(val * angle) / torch.sin(angle)
    return first.unsqueeze(1) * low + second.unsqueeze(1) * high


class ImageRNG:
    def __init__(self, shape, seeds, subseeds=None, subseed_strength=0.0, seed_resize_from_h=0, seed_resize_from_w=0):
        self.shape = tuple(map(int, shape))
        self.seeds, self.subseeds, self.subseed_strength = seeds, subseeds, subseed_strength
        self.seed_resize_from_h, self.seed_resize_from_w = seed_resize_from_h, seed_resize_from_w
        self.generators = list(map(create_generator, seeds))
        self.is_first = True

    def _first_of(self, index, seed, generator):
        channels, height, width = self.shape
        resize = self.seed_resize_from_h > 0 and self.seed_resize_from_w > 0
        shape = (channels, int(self.seed_resize_from_h) // 8, int(self.seed_resize_from_w) // 8) if resize else self.shape
        other = None
        if self.subseed_strength != 0 and self.subseeds is not None:
            other = randn(self.subseeds[index] if index < len(self.subseeds) else 0, shape)
        noise = randn(seed, shape, generator=None if shape != self.shape else generator)
        if other is not None:
            noise = slerp(self.subseed_strength, noise, other)
        if shape == self.shape:
            return noise
        out = randn(seed, self.shape, generator=generator)                   # the smaller noise centred in the larger
        h, w = min(height, shape[1]), min(width, shape[2])
        top, left, from_top, from_left = (height - h) // 2, (width - w) // 2, (shape[1] - h) // 2, (shape[2] - w) // 2
        out[:, top:top + h, left:left + w] = noise[:, from_top:from_top + h, from_left:from_left + w]
        return out

    def first(self):
        noise = [self._first_of(i, seed, generator) for i, (seed, generator) in enumerate(zip(self.seeds, self.generators))]
        delta = shared.opts.eta_noise_seed_delta
        if delta:
            self.generators = [create_generator(seed + delta) for seed in self.seeds]
        return torch.stack(noise).to(shared.device)

    def next(self):
        was_first, self.is_first = self.is_first, False
        if was_first:
            return self.first()
        return torch.stack([randn_without_seed(self.shape, generator) for generator in self.generators]).to(shared.device)


for _function in (randn, randn_local, randn_like, randn_without_seed, manual_seed):
    setattr(devices, _function.__name__, _function)
