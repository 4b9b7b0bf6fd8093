"""What a generation is made from (`p`): the arguments of a request, what is known while it runs, and its two ways of
sampling."""

import random

import numpy as np
import torch
from modules import devices, extra_networks, images, prompt_parser, rng, scripts, sd_models, sd_samplers, shared
from modules._generation import Processed, process_images  # noqa: F401
from modules.images import apply_overlay  # noqa: F401
from modules.sd_samplers_common import images_tensor_to_samples
from modules.shared import DEFAULTS, opts, state
from PIL import Image
from torch.nn.functional import interpolate


class DecodedSamples(list):
    """Pictures [3, H, W] where latents are expected."""

    already_decoded = True


def get_fixed_seed(seed):
    """A number for -1 and None; others as they are."""
    return random.randrange(2**32 - 2) if seed in (None, -1, "") else seed


def decode_latent_batch(model, batch, target_device=None, check_for_nans=False):
    """Latents [B, 4, h, w] to pictures [3, 8h, 8w], -1..1, one after the other."""
    pictures = (model.decode_first_stage(latent)[0] for latent in batch.split(1))
    return DecodedSamples(picture.to(target_device or devices.device) for picture in pictures)


class StableDiffusionProcessing:
    """`sample` of its two kinds gives latents [B, 4, h, w] of one batch, or DecodedSamples."""

    ARGUMENTS = DEFAULTS["arguments"]["both"]  # what the API takes too
    RUNNING = """c uc rng scripts sampler color_corrections paste_to user prompts negative_prompts seeds subseeds
        all_prompts all_negative_prompts all_seeds all_subseeds extra_network_data overlay_images
        refiner_checkpoint_info sd_model_name sd_model_hash sd_vae_name sd_vae_hash"""
    kept_conds = {}  # of the last prompts: (key, conditioning)

    def __init__(self, sd_model=None, outpath_samples=None, outpath_grids=None, **given):
        vars(self).update(dict.fromkeys(self.RUNNING.split()), iteration=0, batch_index=0, is_hr_pass=False)
        vars(self).update(is_api=False, extra_generation_params={}, comments={}, styles=[], _set_up=False)
        self.outpath_samples = outpath_samples or opts.outdir_samples or getattr(opts, f"outdir_{self.TAB}_samples")
        self.outpath_grids = outpath_grids or getattr(opts, f"outdir_{self.TAB}_grids")
        self.is_using_inpainting_conditioning = False
        for name, value in {**self.ARGUMENTS, **given}.items():
            setattr(self, name, value)
        self.override_settings = self.override_settings or {}

    sd_model = property(lambda self: shared.sd_model)  # always the one that is loaded

    @property
    def script_args(self):
        return vars(self).get("script_args_value")

    @script_args.setter
    def script_args(self, values):
        """The scripts are set up once, when their arguments are there."""
        self.script_args_value = values
        if self.scripts and not self._set_up:
            self._set_up = True
            self.scripts.setup(self)

    def comment(self, text):
        """A line for the user, below the pictures."""
        self.comments[text] = 1

    def variation(self):
        """What ImageRNG takes after the seeds."""
        return self.subseed_strength, self.seed_resize_from_h, self.seed_resize_from_w

    def setup_prompts(self):
        both = self.prompt, self.negative_prompt
        count = next((len(one) for one in both if isinstance(one, list)), self.batch_size * self.n_iter)
        lists = [list(one) if isinstance(one, list) else [one] * count for one in both]
        self.all_prompts, self.all_negative_prompts = lists

    def setup_conds(self):
        """`c` and `uc`, or what was kept of an equal batch."""
        config, model = sd_samplers.all_samplers_map[self.sampler_name], self.sd_model
        calls = self.steps * (2 if config.options.get("second_order") else 1)
        key = [*self.prompts, None, *self.negative_prompts, calls, opts.CLIP_stop_at_last_layers, id(model)]
        key.append(model.sd_model_checkpoint)
        if self.kept_conds.get("key") != key:
            uc = prompt_parser.get_learned_conditioning(model, self.negative_prompts, calls)
            c = prompt_parser.get_multicond_learned_conditioning(model, self.prompts, calls)
            self.kept_conds.update(c=c, uc=uc, key=key)
        self.c, self.uc = self.kept_conds["c"], self.kept_conds["uc"]

    def _sees_mask(self):
        sees = self.sd_model.model.conditioning_key == "hybrid"
        self.is_using_inpainting_conditioning |= sees
        return sees

    def init(self, all_prompts, all_seeds, all_subseeds):
        """Before the first batch."""

    def tell(self, hook, *given, **named):
        """Calls a hook of the scripts."""
        if self.scripts is not None:
            getattr(self.scripts, hook)(self, *given, **named)

    def close(self):
        vars(self).update(dict.fromkeys(vars(self).keys() & {"c", "uc", "hr_c", "hr_uc", "sampler"}))


class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    TAB = "txt2img"
    ARGUMENTS = StableDiffusionProcessing.ARGUMENTS | DEFAULTS["arguments"][TAB]
    RUNNING = f"{StableDiffusionProcessing.RUNNING} hr_c hr_uc hr_checkpoint_info"

    def init(self, all_prompts, all_seeds, all_subseeds):
        if not self.enable_hr:
            return
        told, scale = self.extra_generation_params, self.hr_scale
        told["Denoising strength"] = self.denoising_strength
        if self.hr_checkpoint_name not in (None, "", "Use same checkpoint"):
            self.hr_checkpoint_info = sd_models.checkpoint_named(self.hr_checkpoint_name)
            told["Hires checkpoint"] = self.hr_checkpoint_info.title
        told["Hires upscale"] = scale
        state.job_count = 2 * (self.n_iter if state.job_count == -1 else state.job_count)
        self.hr_scheduler = self.hr_scheduler or self.scheduler
        self.hr_upscale_to_x, self.hr_upscale_to_y = int(self.width * scale), int(self.height * scale)
        wished = {"Hires steps": self.hr_second_pass_steps or None, "Hires upscaler": self.hr_upscaler}
        told.update((key, value) for key, value in wished.items() if value is not None)

    def txt2img_image_conditioning(self, x, width=None, height=None):
        """What an inpainting checkpoint is told where there is no picture: [B, 5, h, w], everything is new."""
        if not self._sees_mask():
            return x.new_zeros(len(x), 5, 1, 1)
        latents = images_tensor_to_samples(x.new_full((len(x), 3, height or self.height, width or self.width), 0.5))
        return torch.cat([torch.ones_like(latents[:, :1]), latents], dim=1)

    def sample(self, conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        self.sampler = sd_samplers.create_sampler(self.sampler_name, self.sd_model)
        x, conds = self.rng.next(), (conditioning, unconditional_conditioning)
        self.tell("process_before_every_sampling", x=x, noise=x, c=conditioning, uc=unconditional_conditioning)
        samples = self.sampler.sample(self, x, *conds, image_conditioning=self.txt2img_image_conditioning(x))
        return self._enlarged(samples) if self.enable_hr and not state.interrupted else samples

    def _enlarged(self, samples):
        """The second pass (hires fix) over latents [B, 4, h, w]: DecodedSamples. Upscalers of pictures are Lanczos."""
        width, height = self.hr_upscale_to_x, self.hr_upscale_to_y
        in_latents = (self.hr_upscaler or "Latent").startswith("Latent")
        decoded = None if in_latents else decode_latent_batch(self.sd_model, samples, devices.cpu)
        self.sampler = sd_samplers.create_sampler(self.sampler_name, self.sd_model)
        if in_latents:
            samples = interpolate(samples, (height // 8, width // 8), mode="bilinear")
        else:
            resized = [images.resize_image(0, _to_pil(picture), width, height) for picture in decoded]
            samples = images_tensor_to_samples(_from_pil(resized))
        self.is_hr_pass = True
        state.nextjob()
        self.rng = rng.ImageRNG(samples.shape[1:], self.seeds, self.subseeds, *self.variation())
        noise = self.rng.next()
        if not self.disable_extra_networks:
            extra_networks.activate(self, self.extra_network_data)
        self.hr_c, self.hr_uc = self.c, self.uc
        self.tell("before_hr")
        self.tell("process_before_every_sampling", x=samples, noise=noise, c=self.hr_c, uc=self.hr_uc)
        more = {"steps": self.hr_second_pass_steps or self.steps}
        more["image_conditioning"] = self.txt2img_image_conditioning(samples, width, height)
        samples = self.sampler.sample_img2img(self, samples, noise, self.hr_c, self.hr_uc, **more)
        self.sampler, self.is_hr_pass = None, False
        return decode_latent_batch(self.sd_model, samples, target_device=devices.cpu)


class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    TAB = "img2img"
    ARGUMENTS = StableDiffusionProcessing.ARGUMENTS | DEFAULTS["arguments"][TAB]
    RUNNING = StableDiffusionProcessing.RUNNING + " mask_for_overlay nmask image_conditioning init_latent init_img_hash"

    def __init__(self, sd_model=None, **given):
        super().__init__(sd_model, **given)
        self.image_mask, self.mask = self.mask, None  # afterwards `mask` is the latent's
        if self.mask_blur is not None:
            self.mask_blur_x = self.mask_blur_y = self.mask_blur

    def init(self, all_prompts, all_seeds, all_subseeds):
        self.extra_generation_params["Denoising strength"] = self.denoising_strength
        self.sampler = sd_samplers.create_sampler(self.sampler_name, self.sd_model)
        mask, region = self._mask_and_region() if self.image_mask is not None else (None, None)
        fitted = [self._fitted(picture, mask, region) for picture in self.init_images]
        if opts.img2img_color_correction and self.color_corrections is None:
            self.color_corrections = [images.setup_color_correction(picture) for picture in fitted]
        if len(fitted) > self.batch_size:
            raise RuntimeError(f"bad number of images passed: {len(fitted)}; expecting {self.batch_size} or less")
        if len(fitted) == 1:  # one picture for the whole batch, encoded once per row
            fitted *= self.batch_size
            for name in ("overlay_images", "color_corrections"):
                if len(found := getattr(self, name) or ()) == 1:
                    setattr(self, name, found * self.batch_size)
        self.batch_size, pixels = len(fitted), _from_pil(fitted)
        self.init_latent = images_tensor_to_samples(pixels, model=self.sd_model)
        if mask is not None:
            self._mask_latent(mask, all_seeds)
        self.image_conditioning = self._picture_conditioning(pixels, mask)

    def _mask_and_region(self):
        """(mask of the generation's size, the rectangle of the picture that is worked on or None for all of it)."""
        mask = images.blurred(self.image_mask.convert("L"), self.mask_blur_x, self.mask_blur_y)
        told, self.overlay_images = self.extra_generation_params, []
        if self.mask_blur_x > 0 or self.mask_blur_y > 0:
            told["Mask blur"] = self.mask_blur_x
        if self.inpaint_full_res:
            region = images.region_of(mask, self.inpaint_full_res_padding, self.width / self.height)
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
        if region is None:
            picture = images.resize_image(self.resize_mode, picture, self.width, self.height)
        if mask is None:
            return picture
        if self.mask_for_overlay.size != picture.size:
            self.mask_for_overlay = images.resize_image(self.resize_mode, self.mask_for_overlay, *picture.size)
        self.overlay_images.append(images.overlay_of(picture, self.mask_for_overlay))
        if region is not None:
            picture = images.resize_image(2, picture.crop(region), self.width, self.height)
        if self.inpainting_fill == 0:
            self.extra_generation_params["Masked content"] = "fill"
        return picture if self.inpainting_fill == 1 else images.fill(picture, mask)

    def _mask_latent(self, mask, all_seeds):
        """`mask` (1: keep) and `nmask` (1: new) of the latent, [4, h, w]; fills 2 and 3 put noise or nothing there."""
        channels, height, width = self.init_latent.shape[1:]
        new = np.asarray(mask.convert("RGB").resize((width, height)), np.float32)[..., 0] / 255
        new = torch.from_numpy(new.round() if self.mask_round else new).expand(channels, -1, -1)
        self.nmask = new.to(devices.device, devices.dtype)
        self.mask = 1 - self.nmask
        if self.inpainting_fill in (2, 3):
            content = {2: "latent noise", 3: "latent nothing"}[self.inpainting_fill]
            self.extra_generation_params["Masked content"] = content
            self.init_latent = self.init_latent * self.mask
        if self.inpainting_fill == 2:
            noise = rng.ImageRNG((channels, height, width), all_seeds[: len(self.init_latent)]).next()
            self.init_latent = self.init_latent + noise * self.nmask

    def _picture_conditioning(self, pixels, mask):
        """What an inpainting checkpoint is told of the picture, 0..1: the mask and the latent of what is not masked."""
        if not self._sees_mask():
            return self.init_latent.new_zeros(len(self.init_latent), 5, 1, 1)
        hidden = torch.ones(1, 1, *pixels.shape[2:]).to(pixels)
        if mask is not None:
            hidden = torch.from_numpy(np.array(mask.convert("L"), np.float32) / 255)[None, None].round().to(pixels)
        latent = self.sd_model.encode_first_stage((pixels * 2 - 1) * (1 - hidden))
        small = interpolate(hidden, size=self.init_latent.shape[2:]).expand(len(pixels), -1, -1, -1)
        return torch.cat([small, self.sd_model.get_first_stage_encoding(latent)], dim=1)

    def sample(self, conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        x, noise, conds = self.init_latent, self.rng.next(), (conditioning, unconditional_conditioning)
        self.tell("process_before_every_sampling", x=x, noise=noise, c=conds[0], uc=conds[1])
        told = self.image_conditioning
        made = self.sampler.sample_img2img(self, self.init_latent, noise, *conds, image_conditioning=told)
        if self.mask is None:
            return made
        return scripts.blended(self, made, self.mask, self.nmask, self.init_latent, denoiser=None, sigma=None)


def _from_pil(pictures):
    """RGB pictures of one size: [B, 3, H, W], 0..1, on the device."""
    values = np.stack([np.asarray(picture, np.float32) / 255 for picture in pictures])
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2))).to(devices.device, devices.dtype_vae)


def _to_pil(picture):
    """[3, H, W], -1..1, to a picture."""
    return Image.fromarray(((picture.float() + 1) / 2).clamp(0, 1).mul(255).byte().permute(1, 2, 0).numpy())
