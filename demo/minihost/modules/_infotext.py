"""What a generation gives back, and the text that goes into a picture."""

import json

import launch
from modules import errors, infotext_utils
from modules.shared import opts, state

OF_P = (
    "subseed_strength width height sampler_name cfg_scale steps batch_size restore_faces sd_model_name sd_model_hash "
    "sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength extra_generation_params styles "
    "is_using_inpainting_conditioning"
).split()
IN_ANSWER = (
    OF_P
    + (
        "all_prompts all_negative_prompts seed all_seeds subseed all_subseeds face_restoration_model infotexts "
        "index_of_first_image job_timestamp clip_skip version"
    ).split()
)


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
        told = {name: getattr(self, name) for name in IN_ANSWER}
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
            errors.report(f"{key} is left out of the infotext", exc_info=True)
    lines = [prompts[index], *([f"Negative prompt: {negative_prompts[index]}"] * bool(negative_prompts[index]))]
    return "\n".join([*lines, ", ".join(told)]).strip()
