"""What a generation gives back, and the text that goes into a picture."""
import json

import launch
from modules import errors, infotext_utils, shared
from modules.shared import opts

OF_P = ["subseed_strength", "width", "height", "sampler_name", "cfg_scale", "steps", "batch_size", "restore_faces", "sd_model_name", "sd_model_hash", "sd_vae_name", "sd_vae_hash", "seed_resize_from_w", "seed_resize_from_h", "denoising_strength", "extra_generation_params", "styles", "is_using_inpainting_conditioning"]
IN_ANSWER = ["all_prompts", "all_negative_prompts", "seed", "all_seeds", "subseed", "all_subseeds", "face_restoration_model", "index_of_first_image", "infotexts", "job_timestamp", "clip_skip", "version"] + OF_P


class Processed:
    """The pictures of a generation with all that is known of them."""

    def __init__(self, p, images_list, seed=-1, info="", subseed=None, all_prompts=None, all_negative_prompts=None,
                 all_seeds=None, all_subseeds=None, index_of_first_image=0, infotexts=None, comments=""):
        vars(self).update((name, getattr(p, name, None)) for name in OF_P)
        self.images, self.info, self.index_of_first_image = images_list, info, index_of_first_image
        self.infotexts, self.comments = infotexts or [info] * len(images_list), "".join(f"{line}\n" for line in p.comments)
        self.job_timestamp, self.clip_skip = shared.state.job_timestamp, opts.CLIP_stop_at_last_layers
        self.version, self.face_restoration_model = launch.git_tag(), None
        first = {name: value[0] if isinstance(value, list) else value for name, value in (
            ("prompt", p.prompt), ("negative_prompt", p.negative_prompt), ("seed", seed), ("subseed", subseed))}
        given = {"prompt": all_prompts, "negative_prompt": all_negative_prompts, "seed": all_seeds, "subseed": all_subseeds}
        for name, value in first.items():
            setattr(self, name, -1 if value is None else value)
            setattr(self, f"all_{name}s", given[name] or getattr(p, f"all_{name}s") or [value])

    def js(self):
        told = {name: getattr(self, name) for name in IN_ANSWER}
        return json.dumps({"prompt": self.all_prompts[0], "negative_prompt": self.all_negative_prompts[0], **told},
                          default=lambda unknown: None)


def create_infotext(p, all_prompts, all_seeds, all_subseeds, comments=None, iteration=0, position_in_batch=0,
                    use_main_prompt=False, index=None, all_negative_prompts=None):
    """The infotext of one picture, by its place in the lists. A value of `p.extra_generation_params` may be a list with one
    item per picture, or a function."""
    if index is None:
        index = p.batch_size * iteration + position_in_batch
    prompt, negative, seed, subseed = (
        (p.main_prompt, p.main_negative_prompt, p.all_seeds[0], p.all_subseeds[0]) if use_main_prompt else
        (values[index] for values in (all_prompts, all_negative_prompts or p.all_negative_prompts, all_seeds, all_subseeds)))
    skip, variation = opts.CLIP_stop_at_last_layers, (subseed, p.subseed_strength) if p.subseed_strength else (None, None)
    values = {
        "Steps": p.steps, "Sampler": p.sampler_name, "Schedule type": p.scheduler, "CFG scale": p.cfg_scale, "Seed": seed,
        "Size": f"{p.width}x{p.height}", "Model hash": p.sd_model_hash, "Model": p.sd_model_name, "VAE hash": p.sd_vae_hash,
        "VAE": p.sd_vae_name, "Variation seed": variation[0], "Variation seed strength": variation[1],
        "Denoising strength": None, "Clip skip": skip if skip > 1 else None,
        "RNG": opts.randn_source if opts.randn_source != "GPU" else None, "Tiling": "True" if p.tiling else None,
        **p.extra_generation_params, "Version": launch.git_tag()}
    told = []
    for key, value in values.items():
        try:
            value = value(p=p, index=index) if callable(value) else value
            value = value[index] if isinstance(value, list) else value
            told += [key if value == key else f"{key}: {infotext_utils.quote(value)}"] * (value is not None)
        except Exception:
            errors.report(f"{key} is left out of the infotext", exc_info=True)
    lines = [prompt, f"Negative prompt: {negative}" if negative else None, ", ".join(told)]
    return "\n".join(line for line in lines if line is not None).strip()
