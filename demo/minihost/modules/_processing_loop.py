"""modules.processing, second part: the order of one generation."""
from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch
from modules import (
    devices,
    extra_networks,
    face_restoration,
    images,
    paths,
    processing,
    rng,
    scripts,
    sd_models,
    sd_samplers,
    sd_unet,
    sd_vae,
    shared,
)
from modules._processing_latents import _checkpoint_named, get_fixed_seed, opt_C, opt_f
from modules.sd_hijack import model_hijack
from modules.shared import cmd_opts, opts, state
from PIL import Image


class _NoScripts:
    def __getattr__(self, hook):
        return lambda *args, **kwargs: None


_NO_SCRIPTS = _NoScripts()


def _hooks(p):
    """The scripts of `p`, which may be none."""
    return _NO_SCRIPTS if p.scripts is None else p.scripts


@contextlib.contextmanager
def _settings_of(p):
    """The settings that `p` overrides, while inside; another checkpoint stays until the next generation."""
    wanted = p.override_settings
    before = {key: opts.data[key] for key in wanted.keys() & opts.data.keys()}
    try:
        if wanted.get("sd_model_checkpoint") not in sd_models.checkpoint_aliases:
            wanted = p.override_settings = {key: value for key, value in wanted.items() if key != "sd_model_checkpoint"}
            sd_models.reload_model_weights()
        for key, value in wanted.items():
            opts.set(key, value, is_api=True, run_callbacks=False)
            if key in ("sd_model_checkpoint", "sd_vae"):
                (sd_vae.reload_vae_weights if key == "sd_vae" else sd_models.reload_model_weights)()
        yield
    finally:
        put_back = before if p.override_settings_restore_afterwards else {}
        for key, value in put_back.items():
            setattr(opts, key, value)
        if "sd_vae" in put_back:
            sd_vae.reload_vae_weights()


def process_images(p: StableDiffusionProcessing) -> Processed:     # noqa: F821
    _hooks(p).before_process(p)
    with _settings_of(p):
        sd_samplers.fix_p_invalid_sampler_and_scheduler(p=p)
        sd_models.apply_token_merging(p.sd_model, token_merging_ratio=p.get_token_merging_ratio())
        try:
            return processing.process_images_inner(p)
        finally:
            sd_models.apply_token_merging(p.sd_model, token_merging_ratio=0)


def _rows_of_batch(p, *names):
    """The batch's part of each of these lists of `p`."""
    start = p.iteration * p.batch_size
    return (getattr(p, name)[start:start + p.batch_size] for name in names)


def _one_each(seed, count, step):
    return seed if isinstance(seed, list) else [int(seed) + step * i for i in range(count)]


def _prepare(p):
    if p.prompt in (None, []):
        raise AssertionError("there is no prompt")
    seed, subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)
    for name, setting in (("restore_faces", "face_restoration"), ("tiling", "tiling")):
        if getattr(p, name) is None:
            setattr(p, name, getattr(opts, setting))
    if (p.refiner_checkpoint or "None").lower() != "none":
        p.refiner_checkpoint_info = _checkpoint_named(p.refiner_checkpoint)
    info = shared.sd_model.sd_checkpoint_info
    p.sd_model_name, p.sd_model_hash = info.name_for_extra, info.shorthash
    p.sd_vae_name, p.sd_vae_hash = sd_vae.get_loaded_vae_name(), sd_vae.get_loaded_vae_hash()
    model_hijack.apply_circular(p.tiling)
    model_hijack.clear_comments()
    p.fill_fields_from_opts()
    p.setup_prompts()
    count = len(p.all_prompts)
    p.all_seeds, p.all_subseeds = _one_each(seed, count, int(p.subseed_strength == 0)), _one_each(subseed, count, 1)


def _sample(p, n):
    """Conditioning and sampling of batch `n`: pictures [B, 3, H, W] in 0..1, or None when there is nothing to make."""
    p.prompts, p.negative_prompts, p.seeds, p.subseeds = _rows_of_batch(p, "all_prompts", "all_negative_prompts", "all_seeds",
                                                                        "all_subseeds")
    latent = getattr(shared.sd_model, "latent_channels", opt_C), p.height // opt_f, p.width // opt_f
    p.rng = rng.ImageRNG(latent, p.seeds, p.subseeds, p.subseed_strength, p.seed_resize_from_h, p.seed_resize_from_w)
    _hooks(p).before_process_batch(p, batch_number=n, **_batch_arguments(p))
    if not p.prompts:
        return None
    p.parse_extra_network_prompts()
    if not p.disable_extra_networks:
        with devices.autocast():
            extra_networks.activate(p=p, extra_network_data=p.extra_network_data)
    _hooks(p).process_batch(p, batch_number=n, **_batch_arguments(p))
    p.setup_conds()
    p.extra_generation_params = {**p.extra_generation_params, **model_hijack.extra_generation_params}
    if n == 0 and cmd_opts.no_prompt_history is False:
        Path(paths.data_path, "params.txt").write_text(processing.Processed(p, []).infotext(p, 0), encoding="utf8")
    if p.n_iter > 1:
        state.job = f"Batch {n + 1} out of {p.n_iter}"
    sd_models.apply_alpha_schedule_override(p.sd_model, p=p)
    with (devices.without_autocast if devices.unet_needs_upcast else devices.autocast)():
        args = scripts.PostSampleArgs(p.sample(conditioning=p.c, unconditional_conditioning=p.uc, subseed_strength=p.subseed_strength,
                                               **_batch_arguments(p)))
    _hooks(p).post_sample(p, args)
    pictures = args.samples
    if not getattr(pictures, "already_decoded", False):
        devices.test_for_nans(pictures, "unet")
        pictures = processing.decode_latent_batch(p.sd_model, pictures, target_device=devices.cpu, check_for_nans=True)
    state.nextjob()
    return ((torch.stack(pictures).float() + 1) / 2).clamp(0, 1)


def _batch_arguments(p):
    return {"prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}


def _overlay_of(p, i):
    overlays = getattr(p, "overlay_images", None) or []
    return overlays[i] if opts.overlay_inpaint and i < len(overlays) else None


def _mask_views(mask, image, denoised):
    """What the settings want to see of an inpainting mask: itself, and the new part alone."""
    shown = [mask.convert("RGB")] if opts.return_mask else []
    if opts.return_mask_composite:
        shape, new = images.resize_image(2, mask, *image.size).convert("L"), denoised.convert("RGBA").convert("RGBa")
        shown.append(Image.composite(new, Image.new("RGBa", image.size), shape).convert("RGBA"))
    return shown


def _finish_picture(p, i, sample, infotext):
    """One sample [3, H, W] through the hooks for pictures, corrections, overlay and saving; the pictures to show."""
    def save(picture, info, **more):
        if p.save_samples():
            images.save_image(picture, p.outpath_samples, "", p.seeds[i], p.prompts[i], opts.samples_format, info, p=p, **more)

    array = (sample.cpu().numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    if p.restore_faces:
        if opts.save_images_before_face_restoration:
            save(Image.fromarray(array), infotext(i), suffix="-before-face-restoration")
        array = face_restoration.restore_faces(array)
    made = scripts.PostprocessImageArgs(Image.fromarray(array))
    _hooks(p).postprocess_image(p, made)
    over = scripts.PostProcessMaskOverlayArgs(i, getattr(p, "mask_for_overlay", None), _overlay_of(p, i))
    _hooks(p).postprocess_maskoverlay(p, over)
    for correction in (p.color_corrections or [])[i:i + 1]:
        made.image = processing.apply_color_correction(correction, made.image)
    image, denoised = processing.apply_overlay(made.image, p.paste_to, over.overlay_image)
    made = scripts.PostprocessImageArgs(image)
    _hooks(p).postprocess_image_after_composite(p, made)
    image, text = made.image, infotext(i)
    save(image, text)
    if opts.enable_pnginfo:
        image.info["parameters"] = text
    mask = over.mask_for_overlay
    return [image, *([] if mask is None else _mask_views(mask, image, denoised))], text


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


def _make_batch(p, n):
    """(pictures to show, their infotexts) of batch `n`; None when there is nothing to make."""
    samples = _sample(p, n)
    if samples is None:
        return None
    _hooks(p).postprocess_batch(p, samples, batch_number=n)
    p.prompts, p.negative_prompts = _rows_of_batch(p, "all_prompts", "all_negative_prompts")
    batch = scripts.PostprocessBatchListArgs(list(samples))
    _hooks(p).postprocess_batch_list(p, batch, batch_number=n)

    def infotext(index=0):
        return processing.create_infotext(p, p.prompts, p.seeds, p.subseeds, index=index, all_negative_prompts=p.negative_prompts)

    pictures, infotexts = [], []
    for i, sample in enumerate(batch.images):
        p.batch_index = i
        shown, text = _finish_picture(p, i, sample, infotext)
        pictures += shown
        infotexts.append(text)
    return pictures, infotexts


def process_images_inner(p: StableDiffusionProcessing) -> Processed:       # noqa: F821
    _prepare(p)
    _hooks(p).process(p)
    output, infotexts = [], []
    with p.sd_model.ema_scope(), torch.no_grad():
        with devices.autocast():
            p.init(all_prompts=p.all_prompts, all_seeds=p.all_seeds, all_subseeds=p.all_subseeds)
            sd_unet.apply_unet()
        if state.job_count < 0:
            state.job_count = p.n_iter
        for n in range(p.n_iter):
            p.iteration, state.skipped = n, False
            if state.stopping_generation or state.interrupted:
                break
            sd_models.reload_model_weights()
            made = _make_batch(p, n)
            if made is None:
                break
            output += made[0]
            infotexts += made[1]
        infotexts = infotexts or [processing.Processed(p, []).infotext(p, 0)]
        p.color_corrections = None
        first = _add_grid(p, output, infotexts)
    if p.extra_network_data and not p.disable_extra_networks:
        extra_networks.deactivate(p=p, extra_network_data=p.extra_network_data)
    res = processing.Processed(p, output, p.all_seeds[0], infotexts[0], p.all_subseeds[0], index_of_first_image=first, infotexts=infotexts)
    _hooks(p).postprocess(p, res)
    return res
