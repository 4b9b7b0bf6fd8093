"""The order of one generation; the names of the steps are those of the scripts' hooks. What it gives back, and the text
that goes into a picture."""

import contextlib
import json
from types import SimpleNamespace

import launch
import numpy as np
import torch
from modules import devices, extra_networks, images, infotext_utils, processing, rng, sd_models, sd_samplers, sd_unet
from modules.errors import report
from modules.shared import opts, state
from PIL import Image

OF_P = """subseed_strength width height sampler_name cfg_scale steps batch_size restore_faces sd_model_name
    sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength
    extra_generation_params styles is_using_inpainting_conditioning""".split()
IN_ANSWER = """all_prompts all_negative_prompts seed all_seeds subseed all_subseeds face_restoration_model infotexts
    index_of_first_image job_timestamp clip_skip version""".split()


class Processed:
    """The pictures of a generation with all that is known of them."""

    def __init__(self, p, images_list, seed=-1, info="", subseed=None, index_of_first_image=0, infotexts=None):
        vars(self).update((name, getattr(p, name, None)) for name in OF_P)
        self.images, self.info, self.index_of_first_image = images_list, info, index_of_first_image
        self.infotexts = infotexts or [info] * len(images_list)
        self.comments = "".join(f"{line}\n" for line in p.comments)
        self.job_timestamp, self.clip_skip = state.job_timestamp, opts.CLIP_stop_at_last_layers
        self.version, self.face_restoration_model = launch.git_tag(), None
        self.all_prompts, self.all_negative_prompts = p.all_prompts, p.all_negative_prompts
        self.all_seeds, self.all_subseeds, self.seed, self.subseed = p.all_seeds, p.all_subseeds, seed, subseed

    def js(self):
        told = {name: getattr(self, name) for name in OF_P + IN_ANSWER}
        told.update(prompt=self.all_prompts[0], negative_prompt=self.all_negative_prompts[0])
        return json.dumps(told, default=lambda unknown: None)


def create_infotext(p, index, prompts, negative_prompts, seeds, subseeds):
    """The infotext of one picture, by its place in the lists. A value of `p.extra_generation_params` may be a list with
    one item per picture, or a function."""
    skip, strength = opts.CLIP_stop_at_last_layers, p.subseed_strength
    values = {
        "Steps": p.steps, "Sampler": p.sampler_name, "Schedule type": p.scheduler, "CFG scale": p.cfg_scale,
        "Seed": seeds[index], "Size": f"{p.width}x{p.height}", "Model hash": p.sd_model_hash, "Model": p.sd_model_name,
        "VAE hash": p.sd_vae_hash, "VAE": p.sd_vae_name, "Denoising strength": None,
        "Variation seed": subseeds[index] if strength else None, "Variation seed strength": strength or None,
        "Clip skip": skip if skip > 1 else None, "RNG": opts.randn_source if opts.randn_source != "GPU" else None,
        "Tiling": "True" if p.tiling else None, **p.extra_generation_params, "Version": launch.git_tag(),
    }  # fmt: skip
    told = []
    for key, value in values.items():
        try:
            value = value(p=p, index=index) if callable(value) else value
            value = value[index] if isinstance(value, list) else value
            told += [key if value == key else f"{key}: {infotext_utils.quote(value)}"] * (value is not None)
        except Exception:
            report(f"{key} is left out of the infotext", exc_info=True)
    lines = [prompts[index], *([f"Negative prompt: {negative_prompts[index]}"] * bool(negative_prompts[index]))]
    return "\n".join([*lines, ", ".join(told)]).strip()


@contextlib.contextmanager
def overridden(p):
    """The settings that the request wants, until the end of the block. Its checkpoint stays loaded until another is
    needed."""
    wanted = dict(p.override_settings)
    if wanted.get("sd_model_checkpoint") not in sd_models.checkpoint_aliases:
        wanted.pop("sd_model_checkpoint", None)
    before = {name: getattr(opts, name) for name in wanted}
    try:
        for name, value in wanted.items():
            opts.set(name, value, is_api=True, run_callbacks=False)
        sd_models.reload_model_weights()
        sd_models.reload_vae_weights()
        yield
    finally:
        if p.override_settings_restore_afterwards:
            opts.data.update(before)
            sd_models.reload_vae_weights()


def process_images(p):
    """The `Processed` of the request `p`."""
    p.tell("before_process")
    with overridden(p), torch.no_grad():
        p.sampler_name, p.scheduler = sd_samplers.get_sampler_and_scheduler(p.sampler_name, p.scheduler)
        _prepare(p)
        p.tell("process")
        pictures, infotexts = [], []
        p.init(all_prompts=p.all_prompts, all_seeds=p.all_seeds, all_subseeds=p.all_subseeds)
        sd_unet.apply_unet()
        if state.job_count == -1:
            state.job_count = p.n_iter
        for number in range(p.n_iter):
            p.iteration, state.skipped = number, False
            if state.interrupted or state.stopping_generation:
                break
            sd_models.reload_model_weights()  # a script may have changed the setting
            _make_batch(p, pictures, infotexts)
        p.color_corrections = None
        infotexts = infotexts or [_infotext_of_all(p)]
        first = _add_grid(p, pictures, infotexts)
        lists = {"index_of_first_image": first, "infotexts": infotexts}
        processed = Processed(p, pictures, p.all_seeds[0], infotexts[0], p.all_subseeds[0], **lists)
        p.tell("postprocess", processed)
    return processed


def _prepare(p):
    """What can be said before anything is computed: prompts and seeds of every picture, names of the model."""
    seed, subseed = processing.get_fixed_seed(p.seed), processing.get_fixed_seed(p.subseed)
    if p.refiner_checkpoint not in (None, "", "None"):
        p.refiner_checkpoint_info = sd_models.checkpoint_named(p.refiner_checkpoint)
    p.tiling, info = opts.tiling if p.tiling is None else p.tiling, p.sd_model.sd_checkpoint_info
    p.sd_model.tile(p.tiling)
    p.sd_model_name, p.sd_model_hash = info.name_for_extra, info.shorthash
    p.sd_vae_name, p.sd_vae_hash = sd_models.loaded_vae()
    p.s_min_uncond = opts.s_min_uncond if p.s_min_uncond is None else p.s_min_uncond
    p.setup_prompts()
    count, step = len(p.all_prompts), 0 if p.subseed_strength else 1  # variations are of one seed
    p.all_seeds = seed if isinstance(seed, list) else [int(seed) + step * place for place in range(count)]
    p.all_subseeds = [int(subseed) + place for place in range(count)]


def _take_prompts(p):
    rows = slice(p.iteration * p.batch_size, (p.iteration + 1) * p.batch_size)
    p.prompts, p.negative_prompts = p.all_prompts[rows], p.all_negative_prompts[rows]
    return rows


def _make_batch(p, pictures, infotexts):
    """Adds what one batch gives."""
    samples = _sample(p)
    p.tell("postprocess_batch", images=samples, batch_number=p.iteration)
    _take_prompts(p)
    batch = SimpleNamespace(images=list(samples))
    p.tell("postprocess_batch_list", batch, batch_number=p.iteration)
    for p.batch_index, sample in enumerate(batch.images):
        text = create_infotext(p, p.batch_index, p.prompts, p.negative_prompts, p.seeds, p.subseeds)
        pictures += _finished(p, p.batch_index, sample, text)
        infotexts.append(text)


def _sample(p):
    """One batch: pictures [B, 3, H, W], 0..1."""
    rows = _take_prompts(p)
    p.seeds, p.subseeds = p.all_seeds[rows], p.all_subseeds[rows]
    p.rng = rng.ImageRNG((4, p.height // 8, p.width // 8), p.seeds, p.subseeds, *p.variation())

    def of_batch():
        return {"prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}

    p.tell("before_process_batch", batch_number=p.iteration, **of_batch())
    p.prompts, p.extra_network_data = extra_networks.parse_prompts(p.prompts)
    if not p.disable_extra_networks:
        extra_networks.activate(p, p.extra_network_data)
    p.tell("process_batch", batch_number=p.iteration, **of_batch())
    p.setup_conds()
    if p.n_iter > 1:
        state.job = f"Batch {p.iteration + 1} out of {p.n_iter}"
    p.sd_model.alphas_cumprod = p.sd_model.alphas_cumprod_original.to(devices.device)
    conds = {"conditioning": p.c, "unconditional_conditioning": p.uc, "subseed_strength": p.subseed_strength}
    made = SimpleNamespace(samples=p.sample(**conds, **of_batch()))
    p.tell("post_sample", made)
    decoded = made.samples
    if not getattr(decoded, "already_decoded", False):
        decoded = processing.decode_latent_batch(p.sd_model, decoded, target_device=devices.cpu)
    state.nextjob()
    return torch.stack(list(decoded)).float().add(1).div(2).clamp(0, 1)


def _finished(p, place, sample, text):
    """The picture of `sample` [3, H, W] after corrections, overlay and saving, and views of the mask if wanted."""
    step = SimpleNamespace(image=Image.fromarray((sample.cpu().numpy().transpose(1, 2, 0) * 255).astype(np.uint8)))
    p.tell("postprocess_image", step)
    overlays = (p.overlay_images or []) if opts.overlay_inpaint else []
    over = SimpleNamespace(index=place, mask_for_overlay=getattr(p, "mask_for_overlay", None))
    over.overlay_image = overlays[place] if place < len(overlays) else None
    p.tell("postprocess_maskoverlay", over)
    if p.color_corrections and place < len(p.color_corrections):
        step.image = images.apply_color_correction(p.color_corrections[place], step.image)
    image, new = images.apply_overlay(step.image, p.paste_to, over.overlay_image)
    step = SimpleNamespace(image=image)
    p.tell("postprocess_image_after_composite", step)
    image, mask = step.image, over.mask_for_overlay
    stopped = (state.interrupted or state.skipped) and not opts.save_incomplete_images
    if opts.samples_save and not p.do_not_save_samples and not stopped:
        images.save_image(image, p.outpath_samples, "", p.seeds[place], p.prompts[place], text, p)
    if opts.enable_pnginfo:
        image.info["parameters"] = text
    views = [mask.convert("RGB")] if mask is not None and opts.return_mask else []
    if mask is not None and opts.return_mask_composite:
        kept = Image.eval(mask.convert("L").resize(image.size), lambda value: 255 - value)
        views.append(images.overlay_of(new, kept))
    return [image, *views]


def _infotext_of_all(p):
    return create_infotext(p, 0, p.all_prompts, p.all_negative_prompts, p.all_seeds, p.all_subseeds)


def _add_grid(p, pictures, infotexts):
    """The place of the first picture: 1 where a grid of all is put before them."""
    if p.do_not_save_grid or not (opts.return_grid or opts.grid_save) or len(pictures) < 2:
        return 0
    grid, text = images.image_grid(pictures, p.batch_size), _infotext_of_all(p)
    grid.info["parameters"] = text
    if opts.grid_save:
        images.save_image(grid, p.outpath_grids, "grid", p.all_seeds[0], p.all_prompts[0], text, p)
    if opts.return_grid:
        pictures.insert(0, grid)
        infotexts.insert(0, text)
    return int(opts.return_grid)
