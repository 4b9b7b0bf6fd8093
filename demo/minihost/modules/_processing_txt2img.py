"""modules.processing, third part: txt2img, with hires fix in its latent form (and by Lanczos for other upscalers)."""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from modules import (
    devices,
    extra_networks,
    images,
    processing,
    prompt_parser,
    rng,
    sd_models,
    sd_samplers,
    sd_samplers_common,
    shared,
)
from modules._processing_base import StableDiffusionProcessing
from modules._processing_latents import _checkpoint_named, opt_f
from modules.shared import opts, state
from PIL import Image


@dataclass(repr=False)
class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    enable_hr: bool = False
    denoising_strength: float = 0.75
    firstphase_width: int = 0
    firstphase_height: int = 0
    hr_scale: float = 2.0
    hr_upscaler: str = None
    hr_second_pass_steps: int = 0
    hr_resize_x: int = 0
    hr_resize_y: int = 0
    hr_checkpoint_name: str = None
    hr_sampler_name: str = None
    hr_scheduler: str = None
    hr_prompt: str = ''
    hr_negative_prompt: str = ''
    force_task_id: str = None

    cached_hr_uc = [None, None]
    cached_hr_c = [None, None]

    hr_checkpoint_info: dict = field(default=None, init=False)
    hr_upscale_to_x: int = field(default=0, init=False)
    hr_upscale_to_y: int = field(default=0, init=False)
    truncate_x: int = field(default=0, init=False)
    truncate_y: int = field(default=0, init=False)
    applied_old_hires_behavior_to: tuple = field(default=None, init=False)
    latent_scale_mode: dict = field(default=None, init=False)
    hr_c: tuple | None = field(default=None, init=False)
    hr_uc: tuple | None = field(default=None, init=False)
    all_hr_prompts: list = field(default=None, init=False)
    all_hr_negative_prompts: list = field(default=None, init=False)
    hr_prompts: list = field(default=None, init=False)
    hr_negative_prompts: list = field(default=None, init=False)
    hr_extra_network_data: list = field(default=None, init=False)

    def __post_init__(self):
        super().__post_init__()
        if self.firstphase_width or self.firstphase_height:
            self.hr_upscale_to_x, self.hr_upscale_to_y = self.width, self.height
            self.width, self.height = self.firstphase_width, self.firstphase_height
        shared_by_all = StableDiffusionProcessingTxt2Img
        self.cached_hr_c, self.cached_hr_uc = shared_by_all.cached_hr_c, shared_by_all.cached_hr_uc

    def calculate_target_resolution(self):
        """Size of the second pass; what of it is cut off when the wanted ratio is another."""
        x, y = self.hr_resize_x, self.hr_resize_y
        if x == 0 and y == 0:
            scale = self.hr_scale
            self.hr_upscale_to_x, self.hr_upscale_to_y = int(self.width * scale), int(self.height * scale)
            self.extra_generation_params.update({"Hires upscale": scale})
            return
        self.extra_generation_params["Hires resize"] = f"{x}x{y}"
        by_width = y == 0 or (x != 0 and self.width / self.height < x / y)
        self.hr_upscale_to_x = x if by_width else y * self.width // self.height
        self.hr_upscale_to_y = x * self.height // self.width if by_width else y
        if x and y:
            self.truncate_x, self.truncate_y = (self.hr_upscale_to_x - x) // opt_f, (self.hr_upscale_to_y - y) // opt_f

    def init(self, all_prompts, all_seeds, all_subseeds):
        if not self.enable_hr:
            return
        params = self.extra_generation_params
        params["Denoising strength"] = self.denoising_strength
        if self.hr_checkpoint_name not in (None, "", "Use same checkpoint"):
            info = self.hr_checkpoint_info = _checkpoint_named(self.hr_checkpoint_name)
            params["Hires checkpoint"] = info.short_title
        if self.hr_sampler_name not in (None, self.sampler_name):
            params["Hires sampler"] = self.hr_sampler_name
        self.hr_scheduler = self.hr_scheduler or self.scheduler
        self.latent_scale_mode = shared.latent_upscale_modes.get(self.hr_upscaler or shared.latent_upscale_default_mode)
        self.calculate_target_resolution()
        if state.processing_has_refined_job_count is False:
            jobs = state.job_count if state.job_count >= 0 else self.n_iter
            state.job_count, state.processing_has_refined_job_count = 2 * jobs, True
        if self.hr_second_pass_steps:
            params["Hires steps"] = self.hr_second_pass_steps
        if self.hr_upscaler is not None:
            params["Hires upscaler"] = self.hr_upscaler

    def sample(self, conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        x, self.sampler = self.rng.next(), sd_samplers.create_sampler(self.sampler_name, model=self.sd_model)
        if self.scripts is not None:
            self.scripts.process_before_every_sampling(p=self, x=x, noise=x, c=conditioning, uc=unconditional_conditioning)
        samples = self.sampler.sample(self, x, conditioning, unconditional_conditioning,
                                      image_conditioning=self.txt2img_image_conditioning(x))
        if not self.enable_hr:
            return samples
        decoded = None
        if self.latent_scale_mode is None:
            decoded = torch.stack(processing.decode_latent_batch(self.sd_model, samples, devices.cpu, check_for_nans=True)).float()
        with sd_models.SkipWritingToConfig():
            sd_models.reload_model_weights(None, self.hr_checkpoint_info)
        return self.sample_hr_pass(samples, decoded, seeds, subseeds, subseed_strength, prompts)

    def _enlarged(self, samples, decoded):
        """(latents at the size of the second pass, their image conditioning)."""
        width, height = self.hr_upscale_to_x, self.hr_upscale_to_y
        if self.latent_scale_mode is not None:
            samples = torch.nn.functional.interpolate(samples, (height // opt_f, width // opt_f), **self.latent_scale_mode)
            return samples, self.txt2img_image_conditioning(samples, width, height)
        pictures = ((decoded + 1) / 2).clamp(0, 1).mul(255).byte().cpu().numpy().transpose(0, 2, 3, 1)
        pictures = [np.asarray(images.resize_image(0, Image.fromarray(one), width, height, self.hr_upscaler)) for one in pictures]
        pictures = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div(255).to(shared.device, devices.dtype_vae)
        samples = sd_samplers_common.images_tensor_to_samples(pictures)
        return samples, self.img2img_image_conditioning(pictures, samples)

    def sample_hr_pass(self, samples, decoded_samples, seeds, subseeds, subseed_strength, prompts):
        if state.interrupted:
            return samples
        self.is_hr_pass = True
        self.sampler = sd_samplers.create_sampler(self.hr_sampler_name or self.sampler_name, self.sd_model)
        samples, image_conditioning = self._enlarged(samples, decoded_samples)
        state.nextjob()
        ty, tx = self.truncate_y, self.truncate_x
        samples = samples[:, :, ty // 2:samples.shape[2] - (ty + 1) // 2, tx // 2:samples.shape[3] - (tx + 1) // 2]
        self.rng = rng.ImageRNG(samples.shape[1:], self.seeds, self.subseeds, self.subseed_strength, self.seed_resize_from_h,
                                self.seed_resize_from_w)
        noise = self.rng.next()
        with devices.autocast():
            if not self.disable_extra_networks:
                extra_networks.activate(p=self, extra_network_data=self.hr_extra_network_data)
            self.calculate_hr_conds()
        if self.scripts is not None:
            self.scripts.before_hr(self)
            self.scripts.process_before_every_sampling(p=self, x=samples, noise=noise, c=self.hr_c, uc=self.hr_uc)
        samples = self.sampler.sample_img2img(self, samples, noise, self.hr_c, self.hr_uc, steps=self.hr_second_pass_steps or self.steps,
                                              image_conditioning=image_conditioning)
        self.sampler = None
        decoded_samples = processing.decode_latent_batch(self.sd_model, samples, target_device=devices.cpu, check_for_nans=True)
        self.is_hr_pass = False
        return decoded_samples

    def close(self):
        super().close()
        self.hr_c = self.hr_uc = None
        if not opts.persistent_cond_cache:
            for name in ("cached_hr_c", "cached_hr_uc"):
                setattr(StableDiffusionProcessingTxt2Img, name, [None, None])

    def setup_prompts(self):
        super().setup_prompts()
        if not self.enable_hr:
            return
        self.hr_prompt = self.hr_prompt or self.prompt
        self.hr_negative_prompt = self.hr_negative_prompt or self.negative_prompt
        count, styles = self.batch_size * self.n_iter, shared.prompt_styles
        positive = self.hr_prompt if isinstance(self.hr_prompt, list) else [self.hr_prompt] * count
        negative = self.hr_negative_prompt if isinstance(self.hr_negative_prompt, list) else [self.hr_negative_prompt] * count
        self.all_hr_prompts = [styles.apply_styles_to_prompt(text, self.styles) for text in positive]
        self.all_hr_negative_prompts = [styles.apply_negative_styles_to_prompt(text, self.styles) for text in negative]

    def calculate_hr_conds(self):
        if self.hr_c is not None:
            return
        size = {"width": self.hr_upscale_to_x, "height": self.hr_upscale_to_y}
        sampler = sd_samplers.find_sampler_config(self.hr_sampler_name or self.sampler_name)
        total = sampler.total_steps(self.hr_second_pass_steps or self.steps)

        def encoded(encode, texts, is_negative, caches):
            prompts = prompt_parser.SdConditioning(texts, is_negative, **size)
            return self.get_conds_with_caching(encode, prompts, self.firstpass_steps, caches, self.hr_extra_network_data, total)

        self.hr_uc = encoded(prompt_parser.get_learned_conditioning, self.hr_negative_prompts, True, [self.cached_hr_uc, self.cached_uc])
        self.hr_c = encoded(prompt_parser.get_multicond_learned_conditioning, self.hr_prompts, False, [self.cached_hr_c, self.cached_c])

    def setup_conds(self):
        if self.is_hr_pass:                     # asked by the refiner
            self.hr_c = None
            self.calculate_hr_conds()
            return
        super().setup_conds()
        self.hr_uc = self.hr_c = None

    def get_conds(self):
        return (self.hr_c, self.hr_uc) if self.is_hr_pass else super().get_conds()

    def parse_extra_network_prompts(self):
        super().parse_extra_network_prompts()
        if self.enable_hr:
            part = slice(self.iteration * self.batch_size, (self.iteration + 1) * self.batch_size)
            self.hr_negative_prompts = self.all_hr_negative_prompts[part]
            self.hr_prompts, self.hr_extra_network_data = extra_networks.parse_prompts(self.all_hr_prompts[part])
