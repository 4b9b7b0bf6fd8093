"""modules.processing, first part: what txt2img and img2img share."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from modules import devices, extra_networks, prompt_parser, rng, scripts, sd_samplers, sd_samplers_common, shared
from modules._processing_latents import _no_image_conditioning, _sees_mask, txt2img_image_conditioning
from modules.shared import opts, state
from PIL import Image


@dataclass(repr=False)
class StableDiffusionProcessing:
    sd_model: object = None
    outpath_samples: str = None
    outpath_grids: str = None
    prompt: str = ""
    prompt_for_display: str = None
    negative_prompt: str = ""
    styles: list[str] = None
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    seed_resize_from_h: int = -1
    seed_resize_from_w: int = -1
    seed_enable_extras: bool = True
    sampler_name: str = None
    scheduler: str = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    restore_faces: bool = None
    tiling: bool = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    extra_generation_params: dict[str, Any] = None
    overlay_images: list = None
    eta: float = None
    do_not_reload_embeddings: bool = False
    denoising_strength: float = None
    ddim_discretize: str = None
    s_min_uncond: float = None
    s_churn: float = None
    s_tmax: float = None
    s_tmin: float = None
    s_noise: float = None
    override_settings: dict[str, Any] = None
    override_settings_restore_afterwards: bool = True
    sampler_index: int = None
    refiner_checkpoint: str = None
    refiner_switch_at: float = None
    token_merging_ratio = 0
    token_merging_ratio_hr = 0
    disable_extra_networks: bool = False
    firstpass_image: Image = None

    scripts_value: scripts.ScriptRunner = field(default=None, init=False)
    script_args_value: list = field(default=None, init=False)
    scripts_setup_complete: bool = field(default=False, init=False)

    cached_uc = [None, None]
    cached_c = [None, None]

    comments: dict = None
    sampler: sd_samplers_common.Sampler | None = field(default=None, init=False)
    is_using_inpainting_conditioning: bool = field(default=False, init=False)
    paste_to: tuple | None = field(default=None, init=False)

    is_hr_pass: bool = field(default=False, init=False)

    c: tuple = field(default=None, init=False)
    uc: tuple = field(default=None, init=False)

    rng: rng.ImageRNG | None = field(default=None, init=False)
    step_multiplier: int = field(default=1, init=False)
    color_corrections: list = field(default=None, init=False)

    all_prompts: list = field(default=None, init=False)
    all_negative_prompts: list = field(default=None, init=False)
    all_seeds: list = field(default=None, init=False)
    all_subseeds: list = field(default=None, init=False)
    iteration: int = field(default=0, init=False)
    main_prompt: str = field(default=None, init=False)
    main_negative_prompt: str = field(default=None, init=False)

    prompts: list = field(default=None, init=False)
    negative_prompts: list = field(default=None, init=False)
    seeds: list = field(default=None, init=False)
    subseeds: list = field(default=None, init=False)
    extra_network_data: dict = field(default=None, init=False)

    user: str = field(default=None, init=False)

    sd_model_name: str = field(default=None, init=False)
    sd_model_hash: str = field(default=None, init=False)
    sd_vae_name: str = field(default=None, init=False)
    sd_vae_hash: str = field(default=None, init=False)

    is_api: bool = field(default=False, init=False)

    def __post_init__(self):
        self.comments = {}
        self.styles = self.styles or []
        for name in ("extra_generation_params", "override_settings", "script_args"):
            if not getattr(self, name):
                setattr(self, name, {})
        self.sampler_noise_scheduler_override = self.refiner_checkpoint_info = None
        if not self.seed_enable_extras:
            self.subseed, self.subseed_strength, self.seed_resize_from_h, self.seed_resize_from_w = -1, 0, 0, 0
        self.cached_uc, self.cached_c = StableDiffusionProcessing.cached_uc, StableDiffusionProcessing.cached_c

    def fill_fields_from_opts(self):
        for name in ("s_min_uncond", "s_churn", "s_tmin", "s_noise"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(opts, name))
        self.s_tmax = (opts.s_tmax if self.s_tmax is None else self.s_tmax) or float("inf")

    @property
    def sd_model(self):                         # noqa: F811
        return shared.sd_model

    @sd_model.setter
    def sd_model(self, value):
        pass                                    # it is always the one that is loaded

    @property
    def scripts(self):
        return self.scripts_value

    @scripts.setter
    def scripts(self, value):
        self.scripts_value = value
        self._setup_scripts_once()

    @property
    def script_args(self):
        return self.script_args_value

    @script_args.setter
    def script_args(self, value):
        self.script_args_value = value
        self._setup_scripts_once()

    def _setup_scripts_once(self):
        ready = self.scripts_value and self.script_args_value
        if ready and not self.scripts_setup_complete:
            self.setup_scripts()

    def setup_scripts(self):
        self.scripts_setup_complete = True
        self.scripts_value.setup_scrips(self, is_ui=not self.is_api)

    def comment(self, text):
        self.comments[text] = 1

    def txt2img_image_conditioning(self, x, width=None, height=None):
        self.is_using_inpainting_conditioning = _sees_mask(self.sd_model.model)
        size = width or self.width, height or self.height
        return txt2img_image_conditioning(self.sd_model, x, *size)

    def inpainting_image_conditioning(self, source_image, latent_image, image_mask=None, round_image_mask=True):
        """[B, 5, h, w]: the mask and the latent of the picture without what is masked. Pictures are -1..1."""
        if image_mask is None:
            mask = source_image.new_ones(1, 1, *source_image.shape[-2:])
        elif torch.is_tensor(image_mask):
            mask = image_mask
        else:
            import numpy as np

            mask = torch.from_numpy(np.asarray(image_mask.convert("L"), dtype=np.float32) / 255)[None, None]
            mask = mask.round() if round_image_mask else mask
        mask, self.is_using_inpainting_conditioning = mask.to(source_image), True
        weight = getattr(self, "inpainting_mask_weight", opts.inpainting_mask_weight)
        masked = torch.lerp(source_image, source_image * (1 - mask), weight)
        latent = self.sd_model.get_first_stage_encoding(self.sd_model.encode_first_stage(masked))
        mask = torch.nn.functional.interpolate(mask, size=latent_image.shape[-2:]).expand(latent.shape[0], -1, -1, -1)
        return torch.cat([mask, latent], dim=1).to(shared.device).type(self.sd_model.dtype)

    def img2img_image_conditioning(self, source_image, latent_image, image_mask=None, round_image_mask=True):
        if not _sees_mask(self.sampler):
            return _no_image_conditioning(latent_image)
        return self.inpainting_image_conditioning(devices.cond_cast_float(source_image), latent_image, image_mask, round_image_mask)

    def init(self, all_prompts, all_seeds, all_subseeds):
        pass

    def sample(self, conditioning, unconditional_conditioning, seeds, subseeds, subseed_strength, prompts):
        raise NotImplementedError

    def close(self):
        self.c = self.uc = self.sampler = None
        for name in () if opts.persistent_cond_cache else ("cached_c", "cached_uc"):
            setattr(StableDiffusionProcessing, name, [None, None])

    def get_token_merging_ratio(self, for_hr=False):
        ratio = self.token_merging_ratio or opts.token_merging_ratio
        return (self.token_merging_ratio_hr or opts.token_merging_ratio_hr or ratio) if for_hr else ratio

    def setup_prompts(self):
        count = len(self.negative_prompt) if isinstance(self.negative_prompt, list) else self.batch_size * self.n_iter
        self.all_prompts = self.prompt if isinstance(self.prompt, list) else [self.prompt] * count
        self.all_negative_prompts = self.negative_prompt if isinstance(self.negative_prompt, list) \
            else [self.negative_prompt] * len(self.all_prompts)
        counts = len(self.all_prompts), len(self.all_negative_prompts)
        if counts[0] != counts[1]:
            raise RuntimeError(f"{counts[0]} prompts but {counts[1]} negative prompts")
        styles = shared.prompt_styles
        self.all_prompts = [styles.apply_styles_to_prompt(text, self.styles) for text in self.all_prompts]
        self.all_negative_prompts = [styles.apply_negative_styles_to_prompt(text, self.styles) for text in self.all_negative_prompts]
        self.main_prompt, self.main_negative_prompt = self.all_prompts[0], self.all_negative_prompts[0]

    def cached_params(self, required_prompts, steps, extra_network_data, hires_steps=None, use_old_scheduling=False):
        of_model = shared.sd_model.sd_checkpoint_info, opts.CLIP_stop_at_last_layers, opts.emphasis, extra_network_data
        of_prompts = [*required_prompts], steps, hires_steps, use_old_scheduling
        return *of_prompts, *of_model, self.width, self.height

    def get_conds_with_caching(self, function, required_prompts, steps, caches, extra_network_data, hires_steps=None):
        """`function` for these prompts, or what one of the `caches` ([key, value]) holds for them; the first one is written."""
        key = self.cached_params(required_prompts, steps, extra_network_data, hires_steps, opts.use_old_scheduling)
        known = next((cache for cache in caches if cache[0] == key), None)
        if known is None:
            with devices.autocast():
                conds = function(shared.sd_model, required_prompts, steps, hires_steps, opts.use_old_scheduling)
            known = caches[0]
            known[:] = key, conds
        return known[1]

    def setup_conds(self):
        positive = prompt_parser.SdConditioning(self.prompts, width=self.width, height=self.height)
        negative = prompt_parser.SdConditioning(self.negative_prompts, True, self.width, self.height)
        total = sd_samplers.find_sampler_config(self.sampler_name).total_steps(self.steps)
        self.step_multiplier, self.firstpass_steps = total // self.steps, total
        self.uc = self.get_conds_with_caching(prompt_parser.get_learned_conditioning, negative, total, [self.cached_uc],
                                              self.extra_network_data)
        self.c = self.get_conds_with_caching(prompt_parser.get_multicond_learned_conditioning, positive, total, [self.cached_c],
                                             self.extra_network_data)

    def get_conds(self):
        return self.c, self.uc

    def parse_extra_network_prompts(self):
        texts, networks = extra_networks.parse_prompts(self.prompts)
        self.prompts, self.extra_network_data = texts, networks

    def save_samples(self) -> bool:
        complete = not (state.interrupted or state.skipped)
        return opts.samples_save and not self.do_not_save_samples and (complete or opts.save_incomplete_images)
