"""modules.processing, fourth part: img2img and inpainting."""
from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from modules import devices, images, masking, scripts, sd_samplers, sd_samplers_common, shared
from modules._processing_base import StableDiffusionProcessing
from modules._processing_latents import create_random_tensors, opt_f
from modules.sd_hijack import model_hijack
from modules.shared import opts
from PIL import Image, ImageOps


def setup_color_correction(image):
    """What `apply_color_correction` needs of the picture whose colours are wanted."""
    return np.asarray(image.convert("YCbCr"))


def apply_color_correction(correction, original_image):
    """The picture with the other one's distribution of chroma and its own brightness (the WebUI works in Lab)."""
    luma, *chroma = original_image.convert("YCbCr").split()
    matched = []
    for i, channel in enumerate(chroma, 1):
        have, want = (np.bincount(np.asarray(c).ravel(), minlength=256).cumsum() for c in (channel, correction[..., i]))
        table = np.interp(have / have[-1], want / want[-1], np.arange(256)).round().astype(int).tolist()
        matched.append(channel.point(table))
    return Image.merge("YCbCr", (luma, *matched)).convert("RGB")


def uncrop(image, dest_size, paste_loc):
    whole, (left, top, *size) = Image.new("RGBA", dest_size), paste_loc
    whole.paste(images.resize_image(1, image, *size), box=(left, top))
    return whole


def apply_overlay(image, paste_loc, overlay):
    """(the picture under the overlay, the picture without it)."""
    below = image if overlay is None or paste_loc is None else uncrop(image, overlay.size, paste_loc)
    above = below if overlay is None else Image.alpha_composite(below.convert("RGBA"), overlay).convert("RGB")
    return above, below.copy()


def create_binary_mask(image, round=True):
    """Mode L: the alpha channel where there is one that says something, else the brightness."""
    if image.mode != "RGBA" or image.getextrema()[-1] == (255, 255):
        return image.convert("L")
    alpha = image.getchannel("A")
    return alpha.point(lambda value: 255 if value > 128 else 0) if round else alpha


def _blur(mask, sigma, axis):
    """Gaussian along one axis, 2.5 standard deviations to each side."""
    if sigma <= 0:
        return mask
    radius = int(2.5 * sigma + 0.5)
    kernel = np.exp(-np.arange(-radius, radius + 1) ** 2 / (2 * sigma ** 2))
    padding = [(radius, radius) if i == axis else (0, 0) for i in range(2)]
    values = np.pad(np.asarray(mask, dtype=np.float64), padding, mode="reflect" if mask.size[1 - axis] > radius else "edge")
    out = np.apply_along_axis(np.convolve, axis, values, kernel / kernel.sum(), mode="valid")
    return Image.fromarray(out.round().clip(0, 255).astype(np.uint8))


@dataclass(repr=False)
class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    init_images: list = None
    resize_mode: int = 0
    denoising_strength: float = 0.75
    image_cfg_scale: float = None
    mask: Any = None
    mask_blur_x: int = 4
    mask_blur_y: int = 4
    mask_blur: int = None
    mask_round: bool = True
    inpainting_fill: int = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = 0
    inpainting_mask_invert: int = 0
    initial_noise_multiplier: float = None
    latent_mask: Image = None
    force_task_id: str = None

    image_mask: Any = field(default=None, init=False)

    nmask: torch.Tensor = field(default=None, init=False)
    image_conditioning: torch.Tensor = field(default=None, init=False)
    init_img_hash: str = field(default=None, init=False)
    mask_for_overlay: Image = field(default=None, init=False)
    init_latent: torch.Tensor = field(default=None, init=False)

    def __post_init__(self):
        super().__post_init__()
        self.image_mask, self.mask = self.mask, None
        if self.initial_noise_multiplier is None:
            self.initial_noise_multiplier = opts.initial_noise_multiplier

    @property
    def mask_blur(self):                        # noqa: F811
        return self.mask_blur_x if self.mask_blur_x == self.mask_blur_y else None

    @mask_blur.setter
    def mask_blur(self, value):
        if isinstance(value, int):
            self.mask_blur_x = self.mask_blur_y = value

    def _prepare_mask(self):
        """(mask at the size of the generation or None, rectangle to cut out or None); sets mask_for_overlay and paste_to."""
        params, mask = self.extra_generation_params, create_binary_mask(self.image_mask, round=self.mask_round)
        if self.inpainting_mask_invert:
            mask = ImageOps.invert(mask)
            params["Mask mode"] = "Inpaint not masked"
        mask = _blur(_blur(mask, self.mask_blur_x, 1), self.mask_blur_y, 0)
        if max(self.mask_blur_x, self.mask_blur_y) > 0:
            params["Mask blur"] = self.mask_blur
        self.overlay_images = []
        if not self.inpaint_full_res:
            mask = images.resize_image(self.resize_mode, mask, self.width, self.height)
            self.mask_for_overlay = mask.point(lambda value: min(2 * value, 255))
            return mask, None
        region = masking.get_crop_region_v2(mask, self.inpaint_full_res_padding)
        if region is None:
            self.inpaint_full_res = False
            model_hijack.comments.append("The mask is empty: nothing is inpainted.")
            return None, None
        self.mask_for_overlay = mask
        x1, y1, x2, y2 = region = masking.expand_crop_region(region, self.width, self.height, mask.width, mask.height)
        self.paste_to = (x1, y1, x2 - x1, y2 - y1)
        params["Inpaint area"], params["Masked area padding"] = "Only masked", self.inpaint_full_res_padding
        return images.resize_image(2, mask.crop(region), self.width, self.height), region

    def _prepare_image(self, img, mask, region, latent_mask):
        """RGB picture at the size of the generation; appends to `overlay_images`."""
        if opts.save_init_img:
            name = self.init_img_hash = hashlib.new("md5", img.tobytes(), usedforsecurity=False).hexdigest()
            images.save_image(img, opts.outdir_init_images, None, forced_filename=name, save_to_dirs=False, existing_info=img.info)

        def fitted(picture, size):
            return images.resize_image(self.resize_mode, picture, *size)

        image = images.flatten(img, bgcolor=opts.img2img_background_color)
        if self.resize_mode != 3 and region is None:
            image = fitted(image, (self.width, self.height))
        if mask is not None:
            if self.mask_for_overlay.size != image.size:
                self.mask_for_overlay = fitted(self.mask_for_overlay, image.size)
            overlay = Image.new("RGBa", image.size)
            overlay.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(self.mask_for_overlay.convert("L")))
            self.overlay_images.append(overlay.convert("RGBA"))
        if region is not None:
            image = images.resize_image(2, image.crop(region), self.width, self.height)
        if mask is None or self.inpainting_fill == 1:
            return image
        if self.inpainting_fill == 0:
            self.extra_generation_params.update({"Masked content": "fill"})
        return masking.fill(image, latent_mask)

    def init(self, all_prompts, all_seeds, all_subseeds):
        self.extra_generation_params.update({"Denoising strength": self.denoising_strength})
        self.image_cfg_scale, self.sampler = None, sd_samplers.create_sampler(self.sampler_name, model=self.sd_model)
        mask, region = (None, None) if self.image_mask is None else self._prepare_mask()
        latent_mask = self.latent_mask if self.latent_mask is not None else mask
        prepared = [self._prepare_image(img, mask, region, latent_mask) for img in self.init_images]
        if opts.img2img_color_correction and self.color_corrections is None:
            self.color_corrections = [setup_color_correction(image) for image in prepared]
        if len(prepared) == 1:
            prepared *= self.batch_size                    # the one picture is encoded once per row
            for name in ("overlay_images", "color_corrections"):
                values = getattr(self, name)
                if values is not None and len(values) == 1:
                    setattr(self, name, values * self.batch_size)
        elif len(prepared) <= self.batch_size:
            self.batch_size = len(prepared)
        else:
            raise RuntimeError(f"bad number of images passed: {len(prepared)}; expecting {self.batch_size} or less")
        pictures = np.stack([np.asarray(image, dtype=np.float32) / 255 for image in prepared]).transpose(0, 3, 1, 2)
        pictures = torch.from_numpy(np.ascontiguousarray(pictures)).to(shared.device, dtype=devices.dtype_vae)
        self.init_latent = sd_samplers_common.images_tensor_to_samples(pictures, None, self.sd_model)
        if self.resize_mode == 3:
            size = self.height // opt_f, self.width // opt_f
            self.init_latent = torch.nn.functional.interpolate(self.init_latent, size, mode="bilinear")
        if mask is not None:
            self._mask_latent(latent_mask, all_seeds)
        self.image_conditioning = self.img2img_image_conditioning(pictures * 2 - 1, self.init_latent, mask, self.mask_round)

    def _mask_latent(self, latent_mask, all_seeds):
        """`mask` (1 = keep) and `nmask` (1 = make new), [4, h, w]; masked latents as `inpainting_fill` says."""
        channels, height, width = self.init_latent.shape[1:]
        values = np.asarray(latent_mask.convert("RGB").resize((width, height)), dtype=np.float32)[..., 0] / 255
        values = np.tile(np.around(values) if self.mask_round else values, (channels, 1, 1))
        self.nmask = torch.asarray(values).to(shared.device).type(devices.dtype)
        self.mask = 1 - self.nmask
        if self.inpainting_fill in (2, 3):
            name = "latent noise" if self.inpainting_fill == 2 else "latent nothing"
            self.extra_generation_params["Masked content"] = name
            under = 0
            if self.inpainting_fill == 2:
                under = create_random_tensors((channels, height, width), all_seeds[:len(self.init_latent)]) * self.nmask
            self.init_latent = self.init_latent * self.mask + under

    def sample(self, conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        x, strength = self.rng.next(), self.initial_noise_multiplier
        if strength != 1:
            x = x * strength
            self.extra_generation_params.update({"Noise multiplier": strength})
        if self.scripts is not None:
            self.scripts.process_before_every_sampling(p=self, x=self.init_latent, noise=x, c=conditioning, uc=unconditional_conditioning)
        made = self.sampler.sample_img2img(self, self.init_latent, x, conditioning, unconditional_conditioning,
                                           image_conditioning=self.image_conditioning)
        return made if self.mask is None else self._keep_unmasked(made)

    def _keep_unmasked(self, made):
        args = scripts.MaskBlendArgs(made, self.nmask, self.init_latent, self.mask, made * self.nmask + self.init_latent * self.mask)
        if self.scripts is not None:
            self.scripts.on_mask_blend(self, args)
        return args.blended_latent

    def get_token_merging_ratio(self, for_hr=False):
        overridden = "token_merging_ratio" in self.override_settings and opts.token_merging_ratio
        return self.token_merging_ratio or overridden or opts.token_merging_ratio_img2img or opts.token_merging_ratio
