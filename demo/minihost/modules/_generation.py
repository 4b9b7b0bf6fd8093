"""The order of one generation; the names of the steps are those of the scripts' hooks."""
import contextlib
from types import SimpleNamespace

import numpy as np
import torch
from modules import (
    _inpaint,
    devices,
    extra_networks,
    images,
    processing,
    rng,
    sd_models,
    sd_samplers,
    sd_unet,
    sd_vae,
    shared,
)
from modules.shared import opts, state
from PIL import Image


class _NoScripts:
    def __getattr__(self, hook):
        return lambda *args, **kwargs: None


def _scripts(p):
    return _NoScripts() if p.scripts is None else p.scripts


@contextlib.contextmanager
def overridden(p):
    """The settings that the request wants, until the end of the block. A checkpoint that was loaded for it stays until
    another one is needed."""
    wanted = dict(p.override_settings)
    if "sd_model_checkpoint" in wanted and wanted["sd_model_checkpoint"] not in sd_models.checkpoint_aliases:
        del wanted["sd_model_checkpoint"]
    before = {name: getattr(opts, name) for name in wanted if name in opts.data_labels}
    try:
        if "sd_model_checkpoint" not in wanted:
            sd_models.reload_model_weights()
        for name, value in wanted.items():
            opts.set(name, value, is_api=True, run_callbacks=False)
            if name == "sd_model_checkpoint":
                sd_models.reload_model_weights()
            elif name == "sd_vae":
                sd_vae.reload_vae_weights()
        yield
    finally:
        if p.override_settings_restore_afterwards:
            opts.data.update(before)
            if "sd_vae" in before:
                sd_vae.reload_vae_weights()


def process_images(p):
    """The `Processed` of the request `p`."""
    _scripts(p).before_process(p)
    with overridden(p):
        p.sampler_name, p.scheduler = sd_samplers.get_sampler_and_scheduler(p.sampler_name, p.scheduler, convert_automatic=False)
        return _process(p)


def _process(p):
    _prepare(p)
    _scripts(p).process(p)
    pictures, infotexts = [], []
    with torch.no_grad():
        p.init(all_prompts=p.all_prompts, all_seeds=p.all_seeds, all_subseeds=p.all_subseeds)
        sd_unet.apply_unet()
        if state.job_count == -1:
            state.job_count = p.n_iter
        for number in range(p.n_iter):
            p.iteration, state.skipped = number, False
            if state.interrupted or state.stopping_generation:
                break
            sd_models.reload_model_weights()                # a script may have changed the setting
            if not _make_batch(p, pictures, infotexts):
                break
    p.color_corrections = None
    if not infotexts:
        infotexts.append(processing.create_infotext(p, p.all_prompts, p.all_seeds, p.all_subseeds, index=0))
    first = _add_grid(p, pictures, infotexts)
    processed = processing.Processed(p, pictures, p.all_seeds[0], infotexts[0], p.all_subseeds[0],
                                     index_of_first_image=first, infotexts=infotexts)
    _scripts(p).postprocess(p, processed)
    return processed


def _prepare(p):
    """What can be said before anything is computed: prompts and seeds of every picture, names of the model."""
    if p.prompt in (None, []):
        raise AssertionError("the request has no prompt")
    seed, subseed = processing.get_fixed_seed(p.seed), processing.get_fixed_seed(p.subseed)
    if p.tiling is None:
        p.tiling = opts.tiling
    if p.refiner_checkpoint not in (None, "", "None", "none"):
        p.refiner_checkpoint_info = sd_models.checkpoint_named(p.refiner_checkpoint)
    model = shared.sd_model
    model.tile(p.tiling)
    p.sd_model_name, p.sd_model_hash = model.sd_checkpoint_info.name_for_extra, model.sd_checkpoint_info.shorthash
    p.sd_vae_name, p.sd_vae_hash = sd_vae.get_loaded_vae_name(), sd_vae.get_loaded_vae_hash()
    p.s_min_uncond = opts.s_min_uncond if p.s_min_uncond is None else p.s_min_uncond
    p.setup_prompts()
    places = range(len(p.all_prompts))
    same = p.subseed_strength != 0          # variations of one seed
    p.all_seeds = seed if isinstance(seed, list) else [int(seed) + (0 if same else place) for place in places]
    p.all_subseeds = subseed if isinstance(subseed, list) else [int(subseed) + place for place in places]


def _make_batch(p, pictures, infotexts):
    """Adds what one batch gives. False where it is empty."""
    samples = _sample(p)
    if samples is None:
        return False
    _scripts(p).postprocess_batch(p, images=samples, batch_number=p.iteration)
    rows = slice(p.iteration * p.batch_size, (p.iteration + 1) * p.batch_size)
    p.prompts, p.negative_prompts = p.all_prompts[rows], p.all_negative_prompts[rows]
    batch = SimpleNamespace(images=list(samples))
    _scripts(p).postprocess_batch_list(p, batch, batch_number=p.iteration)
    for place, sample in enumerate(batch.images):
        p.batch_index = place
        text = processing.create_infotext(p, p.prompts, p.seeds, p.subseeds, index=place,
                                          all_negative_prompts=p.negative_prompts)
        pictures += _finished(p, place, sample, text)
        infotexts.append(text)
    return True


def _sample(p):
    """One batch: pictures [B, 3, H, W], 0..1, or None."""
    rows = slice(p.iteration * p.batch_size, (p.iteration + 1) * p.batch_size)
    p.prompts, p.negative_prompts = p.all_prompts[rows], p.all_negative_prompts[rows]
    p.seeds, p.subseeds = p.all_seeds[rows], p.all_subseeds[rows]
    shape = processing.opt_C, p.height // processing.opt_f, p.width // processing.opt_f
    p.rng = rng.ImageRNG(shape, p.seeds, p.subseeds, p.subseed_strength, p.seed_resize_from_h, p.seed_resize_from_w)

    def of_batch():
        return {"prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}

    _scripts(p).before_process_batch(p, batch_number=p.iteration, **of_batch())
    if not p.prompts:
        return None
    p.prompts, p.extra_network_data = extra_networks.parse_prompts(p.prompts)
    if not p.disable_extra_networks:
        extra_networks.activate(p, p.extra_network_data)
    _scripts(p).process_batch(p, batch_number=p.iteration, **of_batch())
    p.setup_conds()
    if p.n_iter > 1:
        state.job = f"Batch {p.iteration + 1} out of {p.n_iter}"
    p.sd_model.alphas_cumprod = p.sd_model.alphas_cumprod_original.to(devices.device)
    made = SimpleNamespace(samples=p.sample(conditioning=p.c, unconditional_conditioning=p.uc,
                                            subseed_strength=p.subseed_strength, **of_batch()))
    _scripts(p).post_sample(p, made)
    decoded = made.samples
    if not getattr(decoded, "already_decoded", False):
        devices.test_for_nans(decoded, "unet")
        decoded = processing.decode_latent_batch(p.sd_model, decoded, target_device=devices.cpu, check_for_nans=True)
    state.nextjob()
    return torch.stack(list(decoded)).float().add(1).div(2).clamp(0, 1)


def _finished(p, place, sample, text):
    """The picture of `sample` [3, H, W] after corrections, overlay and saving, and views of the mask if they are wanted."""
    scripts = _scripts(p)
    values = (sample.cpu().numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    step = SimpleNamespace(image=Image.fromarray(values))
    scripts.postprocess_image(p, step)
    overlays = (getattr(p, "overlay_images", None) or []) if opts.overlay_inpaint else []
    over = SimpleNamespace(index=place, mask_for_overlay=getattr(p, "mask_for_overlay", None),
                           overlay_image=overlays[place] if place < len(overlays) else None)
    scripts.postprocess_maskoverlay(p, over)
    if p.color_corrections and place < len(p.color_corrections):
        step.image = processing.apply_color_correction(p.color_corrections[place], step.image)
    image, new = processing.apply_overlay(step.image, p.paste_to, over.overlay_image)
    step = SimpleNamespace(image=image)
    scripts.postprocess_image_after_composite(p, step)
    image = step.image
    if p.saves():
        images.save_image(image, p.outpath_samples, "", p.seeds[place], p.prompts[place], opts.samples_format, info=text, p=p)
    if opts.enable_pnginfo:
        image.info["parameters"] = text
    shown, mask = [image], over.mask_for_overlay
    if mask is not None and opts.return_mask:
        shown.append(mask.convert("RGB"))
    if mask is not None and opts.return_mask_composite:
        shape = images.resize_image(2, mask, *image.size)
        shown.append(_inpaint.overlay_of(new, Image.eval(shape.convert("L"), lambda value: 255 - value)))
    return shown


def _add_grid(p, pictures, infotexts):
    """The place of the first picture: 1 where a grid of all is put before them."""
    if p.do_not_save_grid or not (opts.return_grid or opts.grid_save) or len(pictures) < 2:
        return 0
    grid = images.image_grid(pictures, p.batch_size)
    text = processing.create_infotext(p, p.all_prompts, p.all_seeds, p.all_subseeds, use_main_prompt=True)
    grid.info["parameters"] = text
    if opts.grid_save:
        images.save_image(grid, p.outpath_grids, "grid", p.all_seeds[0], p.all_prompts[0], info=text, p=p)
    if opts.return_grid:
        pictures.insert(0, grid)
        infotexts.insert(0, text)
    return int(opts.return_grid)
