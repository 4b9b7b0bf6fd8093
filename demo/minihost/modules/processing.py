"""What a generation is made from (`p`): the arguments of a request, what is known while it runs, and its two ways of sampling."""
from __future__ import annotations

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
from modules._inpaint import (  # noqa: F401
    apply_color_correction,
    apply_overlay,
    create_binary_mask,
    setup_color_correction,
)
from modules.sd_samplers_common import decode_first_stage, images_tensor_to_samples
from modules.shared import opts, state
from PIL import Image, ImageOps

opt_C, opt_f = 4, 8             # channels of a latent, pixels per cell


class DecodedSamples(list):
    """Pictures [3, H, W] where latents are expected."""

    already_decoded = True


def get_fixed_seed(seed):
    """A number for -1, None and what is no number; others as they are."""
    if isinstance(seed, str):
        seed = int(seed) if seed.strip().lstrip("-").isdigit() else None
    return random.randrange(2 ** 32 - 2) if seed is None or seed == -1 else seed


def decode_latent_batch(model, batch, target_device=None, check_for_nans=False):
    """Latents [B, 4, h, w] to pictures [3, 8h, 8w], -1..1, one after the other."""
    decoded = DecodedSamples()
    for latent in batch:
        picture = decode_first_stage(model, latent.unsqueeze(0)).squeeze(0)
        if check_for_nans:
            devices.test_for_nans(picture, "vae")
        decoded.append(picture.to(target_device or picture.device))
    return decoded


def _typed(kind, names="", **defaults):
    """{argument: (type, default)}; `names` are those without a default."""
    return {**{name: (kind, None) for name in names.split()}, **{name: (kind, value) for name, value in defaults.items()}}


class StableDiffusionProcessing:
    # what the API takes too
    ARGUMENTS = {
        **_typed(str, "sampler_name scheduler refiner_checkpoint", prompt="", negative_prompt=""),
        **_typed(int, seed=-1, subseed=-1, seed_resize_from_h=-1, seed_resize_from_w=-1, batch_size=1, n_iter=1, steps=50,
                 width=512, height=512),
        **_typed(float, "eta denoising_strength s_min_uncond s_churn s_tmax s_tmin s_noise refiner_switch_at", subseed_strength=0,
                 cfg_scale=7.0),
        **_typed(bool, "restore_faces tiling", do_not_save_samples=False, do_not_save_grid=False, disable_extra_networks=False,
                 override_settings_restore_afterwards=True),
        **_typed(list[str], "styles"), **_typed(dict, "override_settings comments"), **_typed(str, "firstpass_image")}
    INSIDE = """outpath_samples outpath_grids extra_generation_params overlay_images sampler_index""".split()
    RUNNING = {name: None for name in """c uc rng sampler color_corrections paste_to user prompts negative_prompts seeds subseeds
        all_prompts all_negative_prompts all_seeds all_subseeds main_prompt main_negative_prompt extra_network_data sd_model_name
        sd_model_hash sd_vae_name sd_vae_hash sampler_noise_scheduler_override refiner_checkpoint_info""".split()}
    kept_conds: dict = {}               # of the last requests: slot -> (key, conditioning)

    def __init__(self, sd_model=None, **given):
        unknown = given.keys() - self.ARGUMENTS.keys() - set(self.INSIDE)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no argument {', '.join(sorted(unknown))}")
        vars(self).update(self.RUNNING, iteration=0, batch_index=0, step_multiplier=1, is_hr_pass=False, is_api=False,
                          is_using_inpainting_conditioning=False, _scripts_ready=False)
        for name, value in {**dict.fromkeys(self.INSIDE), **{key: default for key, (_, default) in self.ARGUMENTS.items()},
                            **given}.items():
            setattr(self, name, value)
        self.styles, self.comments = self.styles or [], {}
        self.extra_generation_params, self.override_settings = self.extra_generation_params or {}, self.override_settings or {}

    @property
    def sd_model(self):
        return shared.sd_model

    @sd_model.setter
    def sd_model(self, model):
        """Always the one that is loaded."""

    def _noticed(name):                 # the scripts are set up once, when there are both scripts and their arguments
        def write(self, value):
            vars(self)[f"_{name}"] = value
            if self.scripts and self.script_args and not self._scripts_ready:
                self._scripts_ready = True
                self.scripts.setup_scrips(self, is_ui=not self.is_api)

        return property(lambda self: vars(self).get(f"_{name}"), write)

    scripts, script_args = _noticed("scripts"), _noticed("script_args")
    del _noticed

    def comment(self, text):
        """A line for the user, below the pictures."""
        self.comments[text] = 1

    def take_settings(self):
        for name in ("s_min_uncond", "s_churn", "s_tmin", "s_noise", "s_tmax"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(opts, name))
        self.s_tmax = self.s_tmax or float("inf")

    def setup_prompts(self):
        count = len(self.negative_prompt) if isinstance(self.negative_prompt, list) else self.batch_size * self.n_iter
        self.all_prompts = list(self.prompt) if isinstance(self.prompt, list) else [self.prompt] * count
        negative = self.negative_prompt
        self.all_negative_prompts = list(negative) if isinstance(negative, list) else [negative] * len(self.all_prompts)
        if len(self.all_prompts) != len(self.all_negative_prompts):
            raise RuntimeError(f"{len(self.all_prompts)} prompts do not go with {len(self.all_negative_prompts)} negative ones")
        self.main_prompt, self.main_negative_prompt = self.all_prompts[0], self.all_negative_prompts[0]

    def parse_extra_network_prompts(self):
        self.prompts, self.extra_network_data = extra_networks.parse_prompts(self.prompts)

    def encoded(self, slot, encode, texts, steps, hires_steps=None, size=None, networks=None):
        """What the text encoder says of `texts`; what was asked last for this slot is remembered."""
        width, height = size or (self.width, self.height)
        key = (tuple(texts), steps, hires_steps, width, height, opts.CLIP_stop_at_last_layers, self.sd_model.sd_checkpoint_info,
               {name: [one.items for one in some] for name, some in (networks or {}).items()})
        known = StableDiffusionProcessing.kept_conds.get(slot)
        if known is None or known[0] != key:
            prompts = prompt_parser.SdConditioning(texts, slot.endswith("uc"), width, height)
            known = key, encode(self.sd_model, prompts, steps, hires_steps)
            StableDiffusionProcessing.kept_conds[slot] = known
        return known[1]

    def setup_conds(self):
        calls = sd_samplers.find_sampler_config(self.sampler_name).total_steps(self.steps)
        self.step_multiplier, self.firstpass_steps = calls // self.steps, calls
        self.uc = self.encoded("uc", prompt_parser.get_learned_conditioning, self.negative_prompts, calls,
                               networks=self.extra_network_data)
        self.c = self.encoded("c", prompt_parser.get_multicond_learned_conditioning, self.prompts, calls,
                              networks=self.extra_network_data)

    def get_conds(self):
        return self.c, self.uc

    def txt2img_image_conditioning(self, x, width=None, height=None):
        """What an inpainting checkpoint is told where there is no picture: [B, 5, h, w], everything is new."""
        if not self._told_of_mask():
            return x.new_zeros(len(x), 5, 1, 1)
        grey = x.new_full((len(x), 3, height or self.height, width or self.width), 0.5)
        latents = images_tensor_to_samples(grey)
        return torch.cat([torch.ones_like(latents[:, :1]), latents], dim=1).to(x)

    def _told_of_mask(self):
        told = self.sd_model.model.conditioning_key in ("hybrid", "concat")
        self.is_using_inpainting_conditioning = told or self.is_using_inpainting_conditioning
        return told

    def init(self, all_prompts, all_seeds, all_subseeds):
        """Before the first batch."""

    def sample(self, conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        """Latents [B, 4, h, w] of one batch, or DecodedSamples."""
        raise NotImplementedError

    def _before_sampling(self, x, noise, c, uc):
        if self.scripts is not None:
            self.scripts.process_before_every_sampling(self, x=x, noise=noise, c=c, uc=uc)

    def close(self):
        self.c = self.uc = self.sampler = None
        if not opts.persistent_cond_cache:
            StableDiffusionProcessing.kept_conds.clear()

    def saves(self):
        """Whether the host saves this picture."""
        stopped = (state.interrupted or state.skipped) and not opts.save_incomplete_images
        return opts.samples_save and not self.do_not_save_samples and not stopped


class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    ARGUMENTS = {
        **StableDiffusionProcessing.ARGUMENTS, **_typed(bool, enable_hr=False), **_typed(float, denoising_strength=0.75, hr_scale=2.0),
        **_typed(int, firstphase_width=0, firstphase_height=0, hr_second_pass_steps=0, hr_resize_x=0, hr_resize_y=0),
        **_typed(str, "hr_upscaler hr_checkpoint_name hr_sampler_name hr_scheduler", hr_prompt="", hr_negative_prompt="")}
    RUNNING = {**StableDiffusionProcessing.RUNNING, **dict.fromkeys(
        "hr_c hr_uc hr_checkpoint_info hr_prompts hr_negative_prompts all_hr_prompts all_hr_negative_prompts latent_scale_mode "
        "hr_extra_network_data".split())}

    def init(self, all_prompts, all_seeds, all_subseeds):
        if not self.enable_hr:
            return
        told = self.extra_generation_params
        told["Denoising strength"] = self.denoising_strength
        if self.hr_checkpoint_name not in (None, "", "Use same checkpoint"):
            self.hr_checkpoint_info = sd_models.checkpoint_named(self.hr_checkpoint_name)
            told["Hires checkpoint"] = self.hr_checkpoint_info.short_title
        if self.hr_sampler_name not in (None, self.sampler_name):
            told["Hires sampler"] = self.hr_sampler_name
        self.hr_scheduler = self.hr_scheduler or self.scheduler
        self.latent_scale_mode = shared.latent_upscale_modes.get(self.hr_upscaler or shared.latent_upscale_default_mode)
        self._choose_size()
        if not state.processing_has_refined_job_count:
            state.job_count = 2 * (self.n_iter if state.job_count == -1 else state.job_count)
            state.processing_has_refined_job_count = True
        if self.hr_second_pass_steps:
            told["Hires steps"] = self.hr_second_pass_steps
        if self.hr_upscaler is not None:
            told["Hires upscaler"] = self.hr_upscaler

    def _choose_size(self):
        """Size of the second pass: by scale, or to a given size (then its middle is kept)."""
        x, y, told = self.hr_resize_x, self.hr_resize_y, self.extra_generation_params
        self.truncate_x = self.truncate_y = 0           # cells of the latent that are cut off
        if not x and not y:
            told["Hires upscale"] = scale = self.hr_scale
            self.hr_upscale_to_x, self.hr_upscale_to_y = int(self.width * scale), int(self.height * scale)
            return
        told["Hires resize"] = f"{x}x{y}"
        scale = max(x / self.width, y / self.height)
        self.hr_upscale_to_x, self.hr_upscale_to_y = (int(side * scale) for side in (self.width, self.height))
        if x and y:
            self.truncate_x, self.truncate_y = (self.hr_upscale_to_x - x) // opt_f, (self.hr_upscale_to_y - y) // opt_f

    def sample(self, conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        self.sampler = sd_samplers.create_sampler(self.sampler_name, self.sd_model)
        x = self.rng.next()
        self._before_sampling(x, x, conditioning, unconditional_conditioning)
        samples = self.sampler.sample(self, x, conditioning, unconditional_conditioning,
                                      image_conditioning=self.txt2img_image_conditioning(x))
        return self._enlarged(samples) if self.enable_hr and not state.interrupted else samples

    def _enlarged(self, samples):
        """The second pass (hires fix) over latents [B, 4, h, w]: DecodedSamples."""
        size, conditioning = (self.hr_upscale_to_x, self.hr_upscale_to_y), None
        if self.latent_scale_mode is None:              # by pixels, always Lanczos here
            pictures = [_to_pil(picture) for picture in decode_latent_batch(self.sd_model, samples, devices.cpu, True)]
            pixels = _from_pil([images.resize_image(0, picture, *size, self.hr_upscaler) for picture in pictures])
        if self.hr_checkpoint_info is not None:
            sd_models.reload_model_weights(info=self.hr_checkpoint_info)
        self.is_hr_pass = True
        self.sampler = sd_samplers.create_sampler(self.hr_sampler_name or self.sampler_name, self.sd_model)
        if self.latent_scale_mode is None:
            samples = images_tensor_to_samples(pixels)
        else:
            samples = torch.nn.functional.interpolate(samples, (size[1] // opt_f, size[0] // opt_f), **self.latent_scale_mode)
        conditioning = self.txt2img_image_conditioning(samples, *size)
        state.nextjob()
        left, top = self.truncate_x // 2, self.truncate_y // 2
        height, width = samples.shape[2] - self.truncate_y, samples.shape[3] - self.truncate_x
        samples = samples[:, :, top:top + height, left:left + width]
        self.rng = rng.ImageRNG(samples.shape[1:], self.seeds, self.subseeds, self.subseed_strength, self.seed_resize_from_h,
                                self.seed_resize_from_w)
        noise = self.rng.next()
        if not self.disable_extra_networks:
            extra_networks.activate(self, self.hr_extra_network_data)
        self.calculate_hr_conds()
        if self.scripts is not None:
            self.scripts.before_hr(self)
        self._before_sampling(samples, noise, self.hr_c, self.hr_uc)
        samples = self.sampler.sample_img2img(self, samples, noise, self.hr_c, self.hr_uc, image_conditioning=conditioning,
                                              steps=self.hr_second_pass_steps or self.steps)
        self.sampler = None
        decoded = decode_latent_batch(self.sd_model, samples, target_device=devices.cpu, check_for_nans=True)
        self.is_hr_pass = False
        return decoded

    def setup_prompts(self):
        super().setup_prompts()
        if self.enable_hr:
            self.all_hr_prompts, self.all_hr_negative_prompts = (
                [own] * len(usual) if own else list(usual) for own, usual in (
                    (self.hr_prompt, self.all_prompts), (self.hr_negative_prompt, self.all_negative_prompts)))

    def parse_extra_network_prompts(self):
        super().parse_extra_network_prompts()
        if self.enable_hr:
            rows = slice(self.iteration * self.batch_size, (self.iteration + 1) * self.batch_size)
            self.hr_negative_prompts = self.all_hr_negative_prompts[rows]
            self.hr_prompts, self.hr_extra_network_data = extra_networks.parse_prompts(self.all_hr_prompts[rows])

    def setup_conds(self):
        super().setup_conds()
        self.hr_c = self.hr_uc = None

    def calculate_hr_conds(self):
        if self.hr_c is None:
            sampler = sd_samplers.find_sampler_config(self.hr_sampler_name or self.sampler_name)
            more = {"steps": self.firstpass_steps, "hires_steps": sampler.total_steps(self.hr_second_pass_steps or self.steps),
                    "size": (self.hr_upscale_to_x, self.hr_upscale_to_y), "networks": self.hr_extra_network_data}
            self.hr_uc = self.encoded("hr_uc", prompt_parser.get_learned_conditioning, self.hr_negative_prompts, **more)
            self.hr_c = self.encoded("hr_c", prompt_parser.get_multicond_learned_conditioning, self.hr_prompts, **more)

    def get_conds(self):
        return (self.hr_c, self.hr_uc) if self.is_hr_pass else super().get_conds()

    def close(self):
        super().close()
        self.hr_c = self.hr_uc = None


class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    ARGUMENTS = {
        **StableDiffusionProcessing.ARGUMENTS, **_typed(list, "init_images"), **_typed(str, "mask latent_mask"),
        **_typed(float, "image_cfg_scale initial_noise_multiplier", denoising_strength=0.75),
        **_typed(int, resize_mode=0, mask_blur_x=4, mask_blur_y=4, inpainting_fill=0, inpaint_full_res_padding=0,
                 inpainting_mask_invert=0), **_typed(int, "mask_blur"), **_typed(bool, mask_round=True, inpaint_full_res=True)}
    RUNNING = {**StableDiffusionProcessing.RUNNING,
               **dict.fromkeys("nmask image_conditioning init_latent mask_for_overlay init_img_hash".split())}

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
            fitted = fitted * self.batch_size
            for name in ("overlay_images", "color_corrections"):
                if len(found := getattr(self, name) or ()) == 1:
                    setattr(self, name, found * self.batch_size)
        self.batch_size = len(fitted)
        pixels = _from_pil(fitted)
        self.init_latent = images_tensor_to_samples(pixels, model=self.sd_model)
        if self.resize_mode == 3:
            cells = self.height // opt_f, self.width // opt_f
            self.init_latent = torch.nn.functional.interpolate(self.init_latent, cells, mode="bilinear")
        if mask is not None:
            self._mask_latent(self.latent_mask or mask, all_seeds)
        self.image_conditioning = self._picture_conditioning(pixels, mask)

    def _mask_and_region(self):
        """(mask of the generation's size, the rectangle of the picture that is worked on or None for all of it)."""
        told, mask = self.extra_generation_params, create_binary_mask(self.image_mask, self.mask_round)
        if self.inpainting_mask_invert:
            mask, told["Mask mode"] = ImageOps.invert(mask), "Inpaint not masked"
        mask = _inpaint.blurred(mask, self.mask_blur_x, self.mask_blur_y)
        if self.mask_blur_x > 0 or self.mask_blur_y > 0:
            told["Mask blur"] = self.mask_blur
        self.overlay_images = []
        if not self.inpaint_full_res:
            mask = images.resize_image(self.resize_mode, mask, self.width, self.height)
            self.mask_for_overlay = mask.point([min(2 * value, 255) for value in range(256)] * len(mask.getbands()))
            return mask, None
        region = _inpaint.region_of(mask, self.inpaint_full_res_padding, self.width / self.height)
        if region is None:
            self.inpaint_full_res = False
            self.comment("The mask is empty, so the picture is made anew as a whole.")
            return None, None
        self.mask_for_overlay, (left, top, right, bottom) = mask, region
        self.paste_to = left, top, right - left, bottom - top
        told.update({"Inpaint area": "Only masked", "Masked area padding": self.inpaint_full_res_padding})
        return images.resize_image(2, mask.crop(region), self.width, self.height), region

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
        return picture if self.inpainting_fill == 1 else _inpaint.fill(picture, self.latent_mask or mask)

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
        if not self._told_of_mask():
            return self.init_latent.new_zeros(len(self.init_latent), 5, 1, 1)
        hidden = torch.ones(1, 1, *pixels.shape[2:])
        if mask is not None:
            hidden = torch.from_numpy(np.array(mask.convert("L"), np.float32) / 255)[None, None]
            hidden = hidden.round() if self.mask_round else hidden
        signed, hidden = pixels * 2 - 1, hidden.to(pixels)
        seen = torch.lerp(signed, signed * (1 - hidden), opts.inpainting_mask_weight)
        latent = self.sd_model.get_first_stage_encoding(self.sd_model.encode_first_stage(seen))
        small = torch.nn.functional.interpolate(hidden, size=self.init_latent.shape[2:])
        return torch.cat([small.expand(len(latent), -1, -1, -1), latent], dim=1)

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
        mix = self.init_latent * self.mask + made * self.nmask
        return scripts.offer_blend(self, SimpleNamespace(
            current_latent=made, nmask=self.nmask, init_latent=self.init_latent, mask=self.mask, blended_latent=mix,
            denoiser=None, sigma=None, is_final_blend=True))


def _from_pil(pictures):
    """RGB pictures of one size: [B, 3, H, W], 0..1, on the device."""
    values = np.stack([np.asarray(picture, np.float32) / 255 for picture in pictures])
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2))).to(devices.device, devices.dtype_vae)


def _to_pil(picture):
    """[3, H, W], -1..1, to a picture."""
    return Image.fromarray(((picture.float() + 1) / 2).clamp(0, 1).mul(255).byte().permute(1, 2, 0).numpy())
