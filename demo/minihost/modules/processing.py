"""What a generation is made from (`p`): the arguments of a request, what is known while it runs, and its two ways of sampling."""
import random
from types import SimpleNamespace

import numpy as np
import torch
from modules import (
    _inpaint,
    devices,
    extra_networks,
    images,
    prompt_parser,
    rng,
    scripts,
    sd_models,
    sd_samplers,
    shared,
)
from modules._generation import process_images  # noqa: F401
from modules._infotext import Processed, create_infotext  # noqa: F401
from modules._inpaint import apply_color_correction, apply_overlay, create_binary_mask, setup_color_correction  # noqa: F401
from modules.sd_samplers_common import decode_first_stage, images_tensor_to_samples
from modules.shared import opts, state
from PIL import Image, ImageOps

opt_C, opt_f = 4, 8             # channels of a latent, pixels per cell


class DecodedSamples(list):
    """Pictures [3, H, W] where latents are expected."""

    already_decoded = True


def get_fixed_seed(seed):
    """A number for -1 and None; others as they are."""
    return random.randrange(2 ** 32 - 2) if seed in (None, -1, "") else seed


def decode_latent_batch(model, batch, target_device=None, check_for_nans=False):
    """Latents [B, 4, h, w] to pictures [3, 8h, 8w], -1..1, one after the other."""
    decoded = DecodedSamples(decode_first_stage(model, latent)[0].to(target_device or devices.device) for latent in batch.split(1))
    if check_for_nans:
        devices.test_for_nans(decoded[0], "vae")
    return decoded


def _typed(kind, names="", **defaults):
    """{argument: (type, default)}; `names` are those without a default."""
    return {**{name: (kind, None) for name in names.split()}, **{name: (kind, value) for name, value in defaults.items()}}


class StableDiffusionProcessing:
    # what the API takes too
    ARGUMENTS = {
        **_typed(str, "sampler_name scheduler refiner_checkpoint firstpass_image", prompt="", negative_prompt=""),
        **_typed(int, seed=-1, subseed=-1, seed_resize_from_h=-1, seed_resize_from_w=-1, batch_size=1, n_iter=1, steps=50,
                 width=512, height=512),
        **_typed(float, "eta denoising_strength s_min_uncond refiner_switch_at", subseed_strength=0, cfg_scale=7.0),
        **_typed(bool, "restore_faces tiling", do_not_save_samples=False, do_not_save_grid=False,
                 disable_extra_networks=False, override_settings_restore_afterwards=True), **_typed(dict, "override_settings")}
    RUNNING = """c uc rng sampler color_corrections paste_to user prompts negative_prompts seeds subseeds all_prompts
        all_negative_prompts all_seeds all_subseeds main_prompt main_negative_prompt extra_network_data sd_model_name
        sd_model_hash sd_vae_name sd_vae_hash refiner_checkpoint_info outpath_samples outpath_grids overlay_images"""
    kept_conds = {}                     # of the last prompts: (key, conditioning)

    def __init__(self, sd_model=None, outpath_samples=None, outpath_grids=None, **given):
        if unknown := given.keys() - self.ARGUMENTS.keys():
            raise TypeError(f"{type(self).__name__} has no argument {', '.join(sorted(unknown))}")
        vars(self).update(dict.fromkeys(self.RUNNING.split()), iteration=0, batch_index=0, is_hr_pass=False, is_api=False,
                          is_using_inpainting_conditioning=False, extra_generation_params={}, comments={}, styles=[],
                          outpath_samples=outpath_samples, outpath_grids=outpath_grids, _set_up=False)
        for name, (_, default) in self.ARGUMENTS.items():
            setattr(self, name, given.get(name, default))
        self.override_settings = self.override_settings or {}

    sd_model = property(lambda self: shared.sd_model)       # always the one that is loaded

    def _noticed(name):                 # the scripts are set up once, when there are both scripts and their arguments
        def write(self, value):
            vars(self)[f"{name}_value"] = value
            if self.scripts and self.script_args and not self._set_up:
                self._set_up = True
                self.scripts.setup(self)

        return property(lambda self: vars(self).get(f"{name}_value"), write)

    scripts, script_args = _noticed("scripts"), _noticed("script_args")
    del _noticed

    def comment(self, text):
        """A line for the user, below the pictures."""
        self.comments[text] = 1

    def setup_prompts(self):
        both = self.prompt, self.negative_prompt
        count = next((len(one) for one in both if isinstance(one, list)), self.batch_size * self.n_iter)
        self.all_prompts, self.all_negative_prompts = (list(one) if isinstance(one, list) else [one] * count for one in both)
        self.main_prompt, self.main_negative_prompt = self.all_prompts[0], self.all_negative_prompts[0]

    def setup_conds(self):
        """`c` and `uc`, or what was kept of an equal batch."""
        config = sd_samplers.all_samplers_map[self.sampler_name]
        calls = self.steps * (2 if config.options.get("second_order") else 1)
        key = (*self.prompts, None, *self.negative_prompts, calls, opts.CLIP_stop_at_last_layers, id(self.sd_model),
               self.sd_model.sd_model_checkpoint)
        if self.kept_conds.get("key") != key:
            self.kept_conds.update(
                uc=prompt_parser.get_learned_conditioning(self.sd_model, self.negative_prompts, calls),
                c=prompt_parser.get_multicond_learned_conditioning(self.sd_model, self.prompts, calls), key=key)
        self.c, self.uc = self.kept_conds["c"], self.kept_conds["uc"]

    def _sees_mask(self):
        sees = self.sd_model.model.conditioning_key == "hybrid"
        self.is_using_inpainting_conditioning |= sees
        return sees

    def txt2img_image_conditioning(self, x, width=None, height=None):
        """What an inpainting checkpoint is told where there is no picture: [B, 5, h, w], everything is new."""
        if not self._sees_mask():
            return x.new_zeros(len(x), 5, 1, 1)
        latents = images_tensor_to_samples(x.new_full((len(x), 3, height or self.height, width or self.width), 0.5))
        return torch.cat([torch.ones_like(latents[:, :1]), latents], dim=1)

    def init(self, all_prompts, all_seeds, all_subseeds):
        """Before the first batch."""

    def sample(self, conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        """Latents [B, 4, h, w] of one batch, or DecodedSamples."""
        raise NotImplementedError

    def _before_sampling(self, x, noise, c, uc):
        if self.scripts is not None:
            self.scripts.process_before_every_sampling(self, x=x, noise=noise, c=c, uc=uc)

    def close(self):
        vars(self).update(dict.fromkeys(vars(self).keys() & {"c", "uc", "hr_c", "hr_uc", "sampler"}))

    def saves(self):
        """Whether the host saves this picture."""
        stopped = (state.interrupted or state.skipped) and not opts.save_incomplete_images
        return opts.samples_save and not self.do_not_save_samples and not stopped


class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    ARGUMENTS = {
        **StableDiffusionProcessing.ARGUMENTS, **_typed(bool, enable_hr=False), **_typed(int, hr_second_pass_steps=0),
        **_typed(float, hr_scale=2.0), **_typed(str, "hr_upscaler hr_checkpoint_name hr_scheduler")}
    RUNNING = f"{StableDiffusionProcessing.RUNNING} hr_c hr_uc hr_checkpoint_info"

    def init(self, all_prompts, all_seeds, all_subseeds):
        if not self.enable_hr:
            return
        told, scale = self.extra_generation_params, self.hr_scale
        told["Denoising strength"] = self.denoising_strength
        if self.hr_checkpoint_name not in (None, "", "Use same checkpoint"):
            self.hr_checkpoint_info = sd_models.checkpoint_named(self.hr_checkpoint_name)
            told["Hires checkpoint"] = self.hr_checkpoint_info.short_title
        told["Hires upscale"] = scale
        state.job_count = 2 * (self.n_iter if state.job_count == -1 else state.job_count)
        self.hr_scheduler = self.hr_scheduler or self.scheduler
        self.hr_upscale_to_x, self.hr_upscale_to_y = int(self.width * scale), int(self.height * scale)
        wished = {"Hires steps": self.hr_second_pass_steps or None, "Hires upscaler": self.hr_upscaler}
        told.update((key, value) for key, value in wished.items() if value is not None)

    def sample(self, conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        self.sampler = sd_samplers.create_sampler(self.sampler_name, self.sd_model)
        x = self.rng.next()
        self._before_sampling(x, x, conditioning, unconditional_conditioning)
        samples = self.sampler.sample(self, x, conditioning, unconditional_conditioning,
                                      image_conditioning=self.txt2img_image_conditioning(x))
        return self._enlarged(samples) if self.enable_hr and not state.interrupted else samples

    def _enlarged(self, samples):
        """The second pass (hires fix) over latents [B, 4, h, w]: DecodedSamples. Without a latent upscaler by Lanczos."""
        width, height = self.hr_upscale_to_x, self.hr_upscale_to_y
        mode = shared.latent_upscale_modes.get(self.hr_upscaler or "Latent")
        decoded = None if mode else decode_latent_batch(self.sd_model, samples, devices.cpu, True)
        self.sampler = sd_samplers.create_sampler(self.sampler_name, self.sd_model)
        if decoded is None:
            samples = torch.nn.functional.interpolate(samples, (height // opt_f, width // opt_f), **mode)
        else:
            resized = [images.resize_image(0, _to_pil(picture), width, height) for picture in decoded]
            samples = images_tensor_to_samples(_from_pil(resized))
        self.is_hr_pass = True
        state.nextjob()
        self.rng = rng.ImageRNG(samples.shape[1:], self.seeds, self.subseeds, self.subseed_strength, self.seed_resize_from_h,
                                self.seed_resize_from_w)
        noise = self.rng.next()
        if not self.disable_extra_networks:
            extra_networks.activate(self, self.extra_network_data)
        self.hr_c, self.hr_uc = self.c, self.uc
        if self.scripts is not None:
            self.scripts.before_hr(self)
        self._before_sampling(samples, noise, self.hr_c, self.hr_uc)
        samples = self.sampler.sample_img2img(
            self, samples, noise, self.hr_c, self.hr_uc, steps=self.hr_second_pass_steps or self.steps,
            image_conditioning=self.txt2img_image_conditioning(samples, width, height))
        self.sampler, self.is_hr_pass = None, False
        return decode_latent_batch(self.sd_model, samples, target_device=devices.cpu, check_for_nans=True)


class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    ARGUMENTS = {
        **StableDiffusionProcessing.ARGUMENTS, **_typed(list, "init_images"), **_typed(str, "mask"),
        **_typed(float, "initial_noise_multiplier image_cfg_scale", denoising_strength=0.75),
        **_typed(int, resize_mode=0, mask_blur_x=4, mask_blur_y=4, inpainting_fill=0, inpaint_full_res_padding=0,
                 inpainting_mask_invert=0), **_typed(int, "mask_blur"), **_typed(bool, mask_round=True, inpaint_full_res=True)}
    RUNNING = f"{StableDiffusionProcessing.RUNNING} nmask image_conditioning init_latent init_img_hash mask_for_overlay"

    def __init__(self, sd_model=None, **given):
        super().__init__(sd_model, **given)
        self.image_mask, self.mask = self.mask, None            # afterwards `mask` is the latent's
        if self.initial_noise_multiplier is None:
            self.initial_noise_multiplier = opts.initial_noise_multiplier

    @property
    def mask_blur(self):
        return self.mask_blur_x if self.mask_blur_x == self.mask_blur_y else None

    @mask_blur.setter
    def mask_blur(self, pixels):
        if isinstance(pixels, int):
            vars(self).update(mask_blur_x=pixels, mask_blur_y=pixels)

    def init(self, all_prompts, all_seeds, all_subseeds):
        self.extra_generation_params["Denoising strength"] = self.denoising_strength
        self.sampler = sd_samplers.create_sampler(self.sampler_name, self.sd_model)
        mask, region = self._mask_and_region() if self.image_mask is not None else (None, None)
        fitted = [self._fitted(picture, mask, region) for picture in self.init_images]
        if opts.img2img_color_correction and self.color_corrections is None:
            self.color_corrections = [setup_color_correction(picture) for picture in fitted]
        if len(fitted) > self.batch_size:
            raise RuntimeError(f"bad number of images passed: {len(fitted)}; expecting {self.batch_size} or less")
        if len(fitted) == 1:                    # one picture for the whole batch, encoded once per row
            fitted *= self.batch_size
            for name in ("overlay_images", "color_corrections"):
                if len(found := getattr(self, name) or ()) == 1:
                    setattr(self, name, found * self.batch_size)
        self.batch_size, pixels = len(fitted), _from_pil(fitted)
        self.init_latent = images_tensor_to_samples(pixels, model=self.sd_model)
        if self.resize_mode == 3:
            cells = self.height // opt_f, self.width // opt_f
            self.init_latent = torch.nn.functional.interpolate(self.init_latent, cells, mode="bilinear")
        if mask is not None:
            self._mask_latent(mask, all_seeds)
        self.image_conditioning = self._picture_conditioning(pixels, mask)

    def _mask_and_region(self):
        """(mask of the generation's size, the rectangle of the picture that is worked on or None for all of it)."""
        told, mask = self.extra_generation_params, create_binary_mask(self.image_mask, self.mask_round)
        if self.inpainting_mask_invert:
            mask, told["Mask mode"] = ImageOps.invert(mask), "Inpaint not masked"
        mask, self.overlay_images = _inpaint.blurred(mask, self.mask_blur_x, self.mask_blur_y), []
        if self.mask_blur_x > 0 or self.mask_blur_y > 0:
            told["Mask blur"] = self.mask_blur
        region = None
        if self.inpaint_full_res:
            region = _inpaint.region_of(mask, self.inpaint_full_res_padding, self.width / self.height)
            if region is None:
                self.comment("The mask is empty, so the picture is made anew as a whole.")
                return None, None
            self.mask_for_overlay, (left, top, right, bottom) = mask, region
            self.paste_to = left, top, right - left, bottom - top
            told.update({"Inpaint area": "Only masked", "Masked area padding": self.inpaint_full_res_padding})
            return images.resize_image(2, mask.crop(region), self.width, self.height), region
        mask = images.resize_image(self.resize_mode, mask, self.width, self.height).convert("L")
        self.mask_for_overlay = mask.point([min(2 * value, 255) for value in range(256)])
        return mask, None

    def _fitted(self, picture, mask, region):
        """RGB at the size of the generation; adds to `overlay_images` what is laid over the result."""
        picture = images.flatten(picture, opts.img2img_background_color)
        if region is None and self.resize_mode != 3:
            picture = images.resize_image(self.resize_mode, picture, self.width, self.height)
        if mask is None:
            return picture
        if self.mask_for_overlay.size != picture.size:
            self.mask_for_overlay = images.resize_image(self.resize_mode, self.mask_for_overlay, *picture.size)
        self.overlay_images.append(_inpaint.overlay_of(picture, self.mask_for_overlay))
        if region is not None:
            picture = images.resize_image(2, picture.crop(region), self.width, self.height)
        if self.inpainting_fill == 0:
            self.extra_generation_params["Masked content"] = "fill"
        return picture if self.inpainting_fill == 1 else _inpaint.fill(picture, mask)

    def _mask_latent(self, mask, all_seeds):
        """`mask` (1: keep) and `nmask` (1: new) of the latent, [4, h, w]; fills 2 and 3 put noise or nothing under it."""
        channels, height, width = self.init_latent.shape[1:]
        new = np.asarray(mask.convert("RGB").resize((width, height)), np.float32)[..., 0] / 255
        new = torch.from_numpy(new.round() if self.mask_round else new).expand(channels, -1, -1)
        self.nmask = new.to(devices.device, devices.dtype)
        self.mask = 1 - self.nmask
        if self.inpainting_fill in (2, 3):
            self.extra_generation_params["Masked content"] = ("latent noise", "latent nothing")[self.inpainting_fill - 2]
            self.init_latent = self.init_latent * self.mask
        if self.inpainting_fill == 2:
            noise = rng.ImageRNG((channels, height, width), all_seeds[:len(self.init_latent)]).next()
            self.init_latent = self.init_latent + noise * self.nmask

    def _picture_conditioning(self, pixels, mask):
        """What an inpainting checkpoint is told of the picture, 0..1: the mask and the latent of what is not masked."""
        if not self._sees_mask():
            return self.init_latent.new_zeros(len(self.init_latent), 5, 1, 1)
        hidden = torch.ones(1, 1, *pixels.shape[2:]).to(pixels)
        if mask is not None:
            hidden = torch.from_numpy(np.array(mask.convert("L"), np.float32) / 255)[None, None].round().to(pixels)
        latent = self.sd_model.encode_first_stage((pixels * 2 - 1) * (1 - hidden))
        small = torch.nn.functional.interpolate(hidden, size=self.init_latent.shape[2:]).expand(len(pixels), -1, -1, -1)
        return torch.cat([small, self.sd_model.get_first_stage_encoding(latent)], dim=1)

    def sample(self, conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        noise = self.rng.next()
        if self.initial_noise_multiplier != 1.0:
            self.extra_generation_params["Noise multiplier"] = self.initial_noise_multiplier
            noise = noise * self.initial_noise_multiplier
        self._before_sampling(self.init_latent, noise, conditioning, unconditional_conditioning)
        made = self.sampler.sample_img2img(self, self.init_latent, noise, conditioning, unconditional_conditioning,
                                           image_conditioning=self.image_conditioning)
        if self.mask is None:
            return made
        return scripts.offer_blend(self, SimpleNamespace(
            current_latent=made, nmask=self.nmask, init_latent=self.init_latent, mask=self.mask, denoiser=None, sigma=None,
            blended_latent=self.init_latent * self.mask + made * self.nmask, is_final_blend=True))


def _from_pil(pictures):
    """RGB pictures of one size: [B, 3, H, W], 0..1, on the device."""
    values = np.stack([np.asarray(picture, np.float32) / 255 for picture in pictures])
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2))).to(devices.device, devices.dtype_vae)


def _to_pil(picture):
    """[3, H, W], -1..1, to a picture."""
    return Image.fromarray(((picture.float() + 1) / 2).clamp(0, 1).mul(255).byte().permute(1, 2, 0).numpy())
