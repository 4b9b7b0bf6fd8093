"""modules.processing, the functions that need no `p`: seeds, versions, latents."""
from __future__ import annotations

import random

import torch
from modules import devices, rng, sd_models, sd_samplers_common

opt_C = 4
opt_f = 8


class DecodedSamples(list):
    already_decoded = True


def get_fixed_seed(seed):
    """A whole number; -1, "" and None become a random one."""
    if isinstance(seed, str):
        seed = int(seed) if seed.lstrip("-").isdigit() else -1
    return random.randrange(4294967294) if seed in (None, -1) else seed


def fix_seed(p):
    p.seed, p.subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)


def _checkpoint_named(name):
    """The checkpoint that a request asks for."""
    info = sd_models.get_closet_checkpoint_match(name)
    if info is None:
        raise Exception(f"there is no checkpoint {name!r}")
    return info


def program_version():
    import launch

    return launch.git_tag()


def create_random_tensors(shape, seeds, subseeds=None, subseed_strength=0.0, seed_resize_from_h=0, seed_resize_from_w=0, p=None):
    return rng.ImageRNG(shape, seeds, subseeds, subseed_strength, seed_resize_from_h, seed_resize_from_w).next()


def decode_latent_batch(model, batch, target_device=None, check_for_nans=False):
    """Latents [B, 4, h, w] to a list of pictures [3, H, W], -1..1, one after the other."""
    samples = DecodedSamples()
    if check_for_nans:
        devices.test_for_nans(batch, "unet")
    for latent in batch:
        sample = sd_samplers_common.decode_first_stage(model, latent[None])[0]
        if check_for_nans:
            devices.test_for_nans(sample, "vae")
        samples.append(sample if target_device is None else sample.to(target_device))
    return samples


def _sees_mask(model):
    """Whether the UNet of this wrapper (or sampler) has input channels for a mask and the latent under it."""
    return model.conditioning_key in ("concat", "hybrid")


def _no_image_conditioning(latents):
    """[B, 5, 1, 1]: what models without such channels get."""
    return latents.new_zeros((len(latents), 5, 1, 1))


def txt2img_image_conditioning(sd_model, x, width, height):
    if not _sees_mask(sd_model.model):
        return _no_image_conditioning(x)
    grey = sd_samplers_common.images_tensor_to_samples(torch.full((x.shape[0], 3, height, width), 0.5, device=x.device))
    return torch.cat([torch.ones_like(grey[:, :1]), grey], dim=1).to(x)
