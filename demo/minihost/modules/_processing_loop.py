"""modules.processing, second part: the order of one generation, its result and its infotext."""
from __future__ import annotations

import json
import os

import numpy as np
import torch
from modules import (
    devices,
    errors,
    extra_networks,
    face_restoration,
    images,
    infotext_utils,
    paths,
    processing,
    rng,
    scripts,
    sd_models,
    sd_samplers,
    sd_samplers_common,
    sd_unet,
    sd_vae,
    shared,
)
from modules._processing_base import get_fixed_seed, opt_C, opt_f, program_version
from modules.sd_hijack import model_hijack
from modules.shared import cmd_opts, opts, state
from PIL import Image


def _words(text):
    return text.split()


_OF_P = _words("""prompt negative_prompt subseed_strength width height sampler_name cfg_scale steps batch_size restore_faces sd_model_name
sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h extra_generation_params styles token_merging_ratio
token_merging_ratio_hr eta ddim_discretize s_churn s_tmin s_tmax s_noise s_min_uncond sampler_noise_scheduler_override
is_using_inpainting_conditioning""")
_IN_JS = _words("""seed all_seeds subseed all_subseeds subseed_strength width height sampler_name cfg_scale steps batch_size restore_faces
face_restoration_model sd_model_name sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength
extra_generation_params index_of_first_image infotexts styles job_timestamp clip_skip is_using_inpainting_conditioning version""")


def _first(value):
    return value[0] if isinstance(value, list) else value


class Processed:
    def __init__(self, p: StableDiffusionProcessing, images_list, seed=-1, info="", subseed=None, all_prompts=None,     # noqa: F821
                 all_negative_prompts=None, all_seeds=None, all_subseeds=None, index_of_first_image=0, infotexts=None, comments=""):
        for name in _OF_P:
            setattr(self, name, getattr(p, name))
        self.images, self.info = images_list, info
        self.comments = "".join(f"{comment}\n" for comment in p.comments)
        self.prompt, self.negative_prompt = _first(p.prompt), _first(p.negative_prompt)
        self.seed, self.subseed = (-1 if value is None else int(_first(value)) for value in (seed, subseed))
        self.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.face_restoration_model = opts.face_restoration_model if p.restore_faces else None
        self.denoising_strength = getattr(p, "denoising_strength", None)
        self.index_of_first_image = index_of_first_image
        self.job_timestamp, self.clip_skip, self.version = state.job_timestamp, opts.CLIP_stop_at_last_layers, program_version()
        self.all_prompts = all_prompts or p.all_prompts or [self.prompt]
        self.all_negative_prompts = all_negative_prompts or p.all_negative_prompts or [self.negative_prompt]
        self.all_seeds = all_seeds or p.all_seeds or [self.seed]
        self.all_subseeds = all_subseeds or p.all_subseeds or [self.subseed]
        self.infotexts = infotexts or [info] * len(images_list)

    def js(self):
        obj = {"prompt": self.all_prompts[0], "all_prompts": self.all_prompts, "negative_prompt": self.all_negative_prompts[0],
               "all_negative_prompts": self.all_negative_prompts, **{name: getattr(self, name) for name in _IN_JS}}
        return json.dumps(obj, default=lambda value: None)

    def infotext(self, p: StableDiffusionProcessing, index):      # noqa: F821
        return processing.create_infotext(p, self.all_prompts, self.all_seeds, self.all_subseeds, comments=[],
                                          position_in_batch=index % self.batch_size, iteration=index // self.batch_size)

    def get_token_merging_ratio(self, for_hr=False):
        return self.token_merging_ratio_hr if for_hr else self.token_merging_ratio


def create_infotext(p, all_prompts, all_seeds, all_subseeds, comments=None, iteration=0, position_in_batch=0, use_main_prompt=False,
                    index=None, all_negative_prompts=None):
    """The text that goes into a picture. A value of `p.extra_generation_params` may be a list (one per picture) or a function."""
    if use_main_prompt:
        index = 0
    elif index is None:
        index = position_in_batch + iteration * p.batch_size
    negatives = p.all_negative_prompts if all_negative_prompts is None else all_negative_prompts
    prompt_text = p.main_prompt if use_main_prompt else all_prompts[index]
    negative_prompt = p.main_negative_prompt if use_main_prompt else negatives[index]
    clip_skip, ratio = getattr(p, "clip_skip", opts.CLIP_stop_at_last_layers), p.get_token_merging_ratio()
    varied, ensd = p.subseed_strength != 0, opts.eta_noise_seed_delta
    params = {
        "Steps": p.steps, "Sampler": p.sampler_name, "Schedule type": p.scheduler, "CFG scale": p.cfg_scale,
        "Seed": p.all_seeds[0] if use_main_prompt else all_seeds[index],
        "Face restoration": opts.face_restoration_model if p.restore_faces else None, "Size": f"{p.width}x{p.height}",
        "Model hash": p.sd_model_hash if opts.add_model_hash_to_info else None,
        "Model": p.sd_model_name if opts.add_model_name_to_info else None,
        "VAE hash": p.sd_vae_hash if opts.add_vae_hash_to_info else None, "VAE": p.sd_vae_name if opts.add_vae_name_to_info else None,
        "Variation seed": (p.all_subseeds[0] if use_main_prompt else all_subseeds[index]) if varied else None,
        "Variation seed strength": p.subseed_strength if varied else None,
        "Denoising strength": p.extra_generation_params.get("Denoising strength"),
        "Clip skip": clip_skip if clip_skip > 1 else None,
        "ENSD": ensd if ensd and sd_samplers_common.is_sampler_using_eta_noise_seed_delta(p) else None,
        "Token merging ratio": ratio or None, "Init image hash": getattr(p, "init_img_hash", None),
        "RNG": opts.randn_source if opts.randn_source != "GPU" else None, "Tiling": "True" if p.tiling else None,
        **p.extra_generation_params, "Version": program_version() if opts.add_version_to_infotext else None,
        "User": p.user if opts.add_user_name_to_info else None}
    known = dict(locals())
    for key, value in params.items():
        try:
            params[key] = value[index] if isinstance(value, list) else value(**known) if callable(value) else value
        except Exception:
            errors.report(f"the infotext has no {key}", exc_info=True)
            params[key] = None
    shown = {key: value for key, value in params.items() if value is not None}
    pairs = ", ".join(key if key == value else f"{key}: {infotext_utils.quote(value)}" for key, value in shown.items())
    return "\n".join([prompt_text, *([f"Negative prompt: {negative_prompt}"] if negative_prompt else []), pairs]).strip()


def process_images(p: StableDiffusionProcessing) -> Processed:     # noqa: F821
    if p.scripts is not None:
        p.scripts.before_process(p)
    stored = {key: opts.data[key] for key in p.override_settings if key in opts.data}
    try:
        if p.override_settings.get("sd_model_checkpoint") not in sd_models.checkpoint_aliases:
            p.override_settings.pop("sd_model_checkpoint", None)
            sd_models.reload_model_weights()
        for key, value in p.override_settings.items():
            opts.set(key, value, is_api=True, run_callbacks=False)
            if key == "sd_model_checkpoint":
                sd_models.reload_model_weights()
            if key == "sd_vae":
                sd_vae.reload_vae_weights()
        sd_models.apply_token_merging(p.sd_model, p.get_token_merging_ratio())
        sd_samplers.fix_p_invalid_sampler_and_scheduler(p)
        return processing.process_images_inner(p)
    finally:
        sd_models.apply_token_merging(p.sd_model, 0)
        if p.override_settings_restore_afterwards:
            for key, value in stored.items():
                setattr(opts, key, value)
                if key == "sd_vae":
                    sd_vae.reload_vae_weights()


def _of_batch(p, values):
    return values[p.iteration * p.batch_size:(p.iteration + 1) * p.batch_size]


def _prepare(p):
    assert p.prompt is not None and p.prompt != []
    seed, subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)
    p.restore_faces = opts.face_restoration if p.restore_faces is None else p.restore_faces
    p.tiling = opts.tiling if p.tiling is None else p.tiling
    if p.refiner_checkpoint not in (None, "", "None", "none"):
        p.refiner_checkpoint_info = sd_models.get_closet_checkpoint_match(p.refiner_checkpoint)
        if p.refiner_checkpoint_info is None:
            raise Exception(f"Could not find checkpoint with name {p.refiner_checkpoint}")
    p.sd_model_name, p.sd_model_hash = shared.sd_model.sd_checkpoint_info.name_for_extra, shared.sd_model.sd_model_hash
    p.sd_vae_name, p.sd_vae_hash = sd_vae.get_loaded_vae_name(), sd_vae.get_loaded_vae_hash()
    model_hijack.apply_circular(p.tiling)
    model_hijack.clear_comments()
    p.fill_fields_from_opts()
    p.setup_prompts()
    count = range(len(p.all_prompts))
    p.all_seeds = seed if isinstance(seed, list) else [int(seed) + (i if p.subseed_strength == 0 else 0) for i in count]
    p.all_subseeds = subseed if isinstance(subseed, list) else [int(subseed) + i for i in count]


def _sample(p, n):
    """Conditioning and sampling of batch `n`: pictures [B, 3, H, W] in 0..1, or None when there is nothing to make."""
    p.prompts, p.negative_prompts = _of_batch(p, p.all_prompts), _of_batch(p, p.all_negative_prompts)
    p.seeds, p.subseeds = _of_batch(p, p.all_seeds), _of_batch(p, p.all_subseeds)
    channels = getattr(shared.sd_model, "latent_channels", opt_C)
    p.rng = rng.ImageRNG((channels, p.height // opt_f, p.width // opt_f), p.seeds, p.subseeds, p.subseed_strength, p.seed_resize_from_h,
                         p.seed_resize_from_w)
    if p.scripts is not None:
        p.scripts.before_process_batch(p, batch_number=n, prompts=p.prompts, seeds=p.seeds, subseeds=p.subseeds)
    if not p.prompts:
        return None
    p.parse_extra_network_prompts()
    if not p.disable_extra_networks:
        with devices.autocast():
            extra_networks.activate(p, p.extra_network_data)
    if p.scripts is not None:
        p.scripts.process_batch(p, batch_number=n, prompts=p.prompts, seeds=p.seeds, subseeds=p.subseeds)
    p.setup_conds()
    p.extra_generation_params.update(model_hijack.extra_generation_params)
    if n == 0 and not cmd_opts.no_prompt_history:
        with open(os.path.join(paths.data_path, "params.txt"), "w", encoding="utf8") as file:
            file.write(processing.Processed(p, []).infotext(p, 0))
    if p.n_iter > 1:
        state.job = f"Batch {n + 1} out of {p.n_iter}"
    sd_models.apply_alpha_schedule_override(p.sd_model, p)
    with devices.without_autocast() if devices.unet_needs_upcast else devices.autocast():
        samples = p.sample(conditioning=p.c, unconditional_conditioning=p.uc, seeds=p.seeds, subseeds=p.subseeds,
                           subseed_strength=p.subseed_strength, prompts=p.prompts)
    if p.scripts is not None:
        post = scripts.PostSampleArgs(samples)
        p.scripts.post_sample(p, post)
        samples = post.samples
    if not getattr(samples, "already_decoded", False):
        devices.test_for_nans(samples, "unet")
        samples = processing.decode_latent_batch(p.sd_model, samples, target_device=devices.cpu, check_for_nans=True)
    state.nextjob()
    return ((torch.stack(samples).float() + 1) / 2).clamp(0, 1)


def _finish_picture(p, i, sample, infotext):
    """One sample [3, H, W] through the hooks for pictures, corrections, overlay and saving; the pictures to show."""
    save, info = p.save_samples(), {"extension": opts.samples_format, "p": p, "seed": p.seeds[i], "prompt": p.prompts[i]}
    array = (sample.cpu().numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    if p.restore_faces:
        if save and opts.save_images_before_face_restoration:
            images.save_image(Image.fromarray(array), p.outpath_samples, "", info=infotext(i), suffix="-before-face-restoration", **info)
        array = face_restoration.restore_faces(array)
    image = Image.fromarray(array)
    mask, overlays = getattr(p, "mask_for_overlay", None), getattr(p, "overlay_images", None)
    overlay = overlays[i] if opts.overlay_inpaint and overlays is not None and i < len(overlays) else None
    if p.scripts is not None:
        args = scripts.PostprocessImageArgs(image)
        p.scripts.postprocess_image(p, args)
        image = args.image
        args = scripts.PostProcessMaskOverlayArgs(i, mask, overlay)
        p.scripts.postprocess_maskoverlay(p, args)
        mask, overlay = args.mask_for_overlay, args.overlay_image
    if p.color_corrections is not None and i < len(p.color_corrections):
        image = processing.apply_color_correction(p.color_corrections[i], image)
    image, denoised = processing.apply_overlay(image, p.paste_to, overlay)
    if p.scripts is not None:
        args = scripts.PostprocessImageArgs(image)
        p.scripts.postprocess_image_after_composite(p, args)
        image = args.image
    text = infotext(i)
    if save:
        images.save_image(image, p.outpath_samples, "", info=text, **info)
    if opts.enable_pnginfo:
        image.info["parameters"] = text
    shown = [image]
    if mask is not None and opts.return_mask:
        shown.append(mask.convert("RGB"))
    if mask is not None and opts.return_mask_composite:
        shape = images.resize_image(2, mask, image.width, image.height).convert("L")
        shown.append(Image.composite(denoised.convert("RGBA").convert("RGBa"), Image.new("RGBa", image.size), shape).convert("RGBA"))
    return shown, text


def _add_grid(p, output, infotexts):
    """Save a grid and put it first, where the settings want one; the index of the first picture."""
    if p.do_not_save_grid or not (opts.return_grid or opts.grid_save) or (len(output) < 2 and opts.grid_only_if_multiple) or not output:
        return 0
    grid = images.image_grid(output, p.batch_size)
    text = processing.create_infotext(p, p.prompts, p.seeds, p.subseeds, use_main_prompt=True, all_negative_prompts=p.negative_prompts)
    if opts.grid_save:
        images.save_image(grid, p.outpath_grids, "grid", p.all_seeds[0], p.all_prompts[0], opts.grid_format, info=text,
                          short_filename=not opts.grid_extended_filename, p=p, grid=True)
    if not opts.return_grid:
        return 0
    if opts.enable_pnginfo:
        grid.info["parameters"] = text
    output.insert(0, grid)
    infotexts.insert(0, text)
    return 1


def process_images_inner(p: StableDiffusionProcessing) -> Processed:       # noqa: F821
    _prepare(p)
    if p.scripts is not None:
        p.scripts.process(p)
    infotexts, output = [], []
    with torch.no_grad(), p.sd_model.ema_scope():
        with devices.autocast():
            p.init(p.all_prompts, p.all_seeds, p.all_subseeds)
            sd_unet.apply_unet()
        if state.job_count == -1:
            state.job_count = p.n_iter
        for n in range(p.n_iter):
            p.iteration = n
            state.skipped = False
            if state.interrupted or state.stopping_generation:
                break
            sd_models.reload_model_weights()
            samples = _sample(p, n)
            if samples is None:
                break
            if p.scripts is not None:
                p.scripts.postprocess_batch(p, samples, batch_number=n)
                p.prompts, p.negative_prompts = _of_batch(p, p.all_prompts), _of_batch(p, p.all_negative_prompts)
                batch = scripts.PostprocessBatchListArgs(list(samples))
                p.scripts.postprocess_batch_list(p, batch, batch_number=n)
                samples = batch.images

            def infotext(index=0):
                return processing.create_infotext(p, p.prompts, p.seeds, p.subseeds, index=index, all_negative_prompts=p.negative_prompts)

            for i, sample in enumerate(samples):
                p.batch_index = i
                shown, text = _finish_picture(p, i, sample, infotext)
                output += shown
                infotexts.append(text)
        if not infotexts:
            infotexts.append(processing.Processed(p, []).infotext(p, 0))
        p.color_corrections = None
        first = _add_grid(p, output, infotexts)
    if not p.disable_extra_networks and p.extra_network_data:
        extra_networks.deactivate(p, p.extra_network_data)
    res = processing.Processed(p, images_list=output, seed=p.all_seeds[0], info=infotexts[0], subseed=p.all_subseeds[0],
                               index_of_first_image=first, infotexts=infotexts)
    if p.scripts is not None:
        p.scripts.postprocess(p, res)
    return res
