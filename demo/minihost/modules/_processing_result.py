"""modules.processing, last part: what a generation gives back, and the infotext of a picture."""
from __future__ import annotations

import json

from modules import errors, infotext_utils, processing, sd_samplers_common
from modules._processing_latents import program_version
from modules.shared import opts, state


def _words(text):
    return text.split()


_OF_P = _words("""prompt negative_prompt subseed_strength width height sampler_name cfg_scale steps batch_size restore_faces sd_model_name
sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h extra_generation_params styles token_merging_ratio
token_merging_ratio_hr eta ddim_discretize s_churn s_tmin s_tmax s_noise s_min_uncond sampler_noise_scheduler_override
is_using_inpainting_conditioning""")
_IN_JS = _words("""seed all_seeds subseed all_subseeds subseed_strength width height sampler_name cfg_scale steps batch_size restore_faces
face_restoration_model sd_model_name sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength
extra_generation_params index_of_first_image infotexts styles job_timestamp clip_skip is_using_inpainting_conditioning version""")


_PER_PICTURE = {"all_prompts": "prompt", "all_negative_prompts": "negative_prompt", "all_seeds": "seed", "all_subseeds": "subseed"}


def _first(value):
    return value[0] if isinstance(value, list) else value


class Processed:
    def __init__(self, p: StableDiffusionProcessing, images_list, seed=-1, info="", subseed=None, all_prompts=None,     # noqa: F821
                 all_negative_prompts=None, all_seeds=None, all_subseeds=None, index_of_first_image=0, infotexts=None, comments=""):
        lists = {"all_prompts": all_prompts, "all_negative_prompts": all_negative_prompts, "all_seeds": all_seeds,
                 "all_subseeds": all_subseeds}
        vars(self).update({name: getattr(p, name) for name in _OF_P})
        vars(self).update({name: getattr(p, name, None) for name in ("image_cfg_scale", "denoising_strength")})
        self.images, self.info, self.index_of_first_image = images_list, info, index_of_first_image
        self.infotexts = infotexts if infotexts else [info for _ in images_list]
        self.comments = "\n".join([*p.comments, ""])
        self.prompt, self.negative_prompt = _first(p.prompt), _first(p.negative_prompt)
        self.seed, self.subseed = (-1 if value is None else int(_first(value)) for value in (seed, subseed))
        self.face_restoration_model = (p.restore_faces or None) and opts.face_restoration_model
        self.job_timestamp, self.clip_skip, self.version = state.job_timestamp, opts.CLIP_stop_at_last_layers, program_version()
        for name, of_first in _PER_PICTURE.items():
            setattr(self, name, lists[name] or getattr(p, name) or [getattr(self, of_first)])

    def js(self):
        obj = {"prompt": self.all_prompts[0], "all_prompts": self.all_prompts, "negative_prompt": self.all_negative_prompts[0],
               "all_negative_prompts": self.all_negative_prompts, **{name: getattr(self, name) for name in _IN_JS}}
        return json.dumps(obj, default=lambda value: None)

    def infotext(self, p: StableDiffusionProcessing, index):      # noqa: F821
        iteration, position = divmod(index, self.batch_size)
        return processing.create_infotext(p, self.all_prompts, self.all_seeds, self.all_subseeds, [], iteration, position)

    def get_token_merging_ratio(self, for_hr=False):
        return getattr(self, "token_merging_ratio_hr" if for_hr else "token_merging_ratio")


def _if(wanted, value):
    return value if wanted else None


def _model_fields(p):
    """The checkpoint and the VAE, as far as the settings want them named."""
    fields = {"Model hash": (opts.add_model_hash_to_info, p.sd_model_hash), "Model": (opts.add_model_name_to_info, p.sd_model_name),
              "VAE hash": (opts.add_vae_hash_to_info, p.sd_vae_hash), "VAE": (opts.add_vae_name_to_info, p.sd_vae_name)}
    return {key: _if(*pair) for key, pair in fields.items()}


def _noise_fields(p, subseed):
    ensd, varied = opts.eta_noise_seed_delta, p.subseed_strength != 0
    delta = _if(ensd and sd_samplers_common.is_sampler_using_eta_noise_seed_delta(p), ensd)
    return {"Variation seed": _if(varied, subseed), "Variation seed strength": _if(varied, p.subseed_strength), "ENSD": delta,
            "RNG": _if(opts.randn_source != "GPU", opts.randn_source)}


_ORDER = """Steps|Sampler|Schedule type|CFG scale|Seed|Face restoration|Size|Model hash|Model|VAE hash|VAE|Variation seed
Variation seed strength|Denoising strength|Clip skip|ENSD|Token merging ratio|Init image hash|RNG|Tiling""".replace("\n", "|").split("|")


def create_infotext(p, all_prompts, all_seeds, all_subseeds, comments=None, iteration=0, position_in_batch=0, use_main_prompt=False,
                    index=None, all_negative_prompts=None):
    """The text that goes into a picture. A value of `p.extra_generation_params` may be a list (one per picture) or a function."""
    if use_main_prompt:
        index, prompt_text, negative_prompt, seed, subseed = 0, p.main_prompt, p.main_negative_prompt, p.all_seeds[0], p.all_subseeds[0]
    else:
        index = iteration * p.batch_size + position_in_batch if index is None else index
        negatives = p.all_negative_prompts if all_negative_prompts is None else all_negative_prompts
        prompt_text, negative_prompt, seed, subseed = (values[index] for values in (all_prompts, negatives, all_seeds, all_subseeds))
    clip_skip = int(getattr(p, "clip_skip", opts.CLIP_stop_at_last_layers))
    own = {**_model_fields(p), **_noise_fields(p, subseed), "Steps": p.steps, "Sampler": p.sampler_name, "Schedule type": p.scheduler,
           "CFG scale": p.cfg_scale, "Seed": seed, "Size": f"{p.width}x{p.height}", "Clip skip": _if(clip_skip > 1, clip_skip),
           "Face restoration": _if(p.restore_faces, opts.face_restoration_model), "Tiling": _if(p.tiling, "True"),
           "Token merging ratio": p.get_token_merging_ratio() or None, "Init image hash": getattr(p, "init_img_hash", None)}
    params = {**{key: own.get(key) for key in _ORDER}, **p.extra_generation_params,
              "Version": _if(opts.add_version_to_infotext, program_version()), "User": _if(opts.add_user_name_to_info, p.user)}
    known = dict(locals())
    for key, value in params.items():
        try:
            params[key] = value[index] if isinstance(value, list) else value(**known) if callable(value) else value
        except Exception:
            errors.report(f"the infotext has no {key}", exc_info=True)
            params[key] = None
    pairs = [key if key == value else f"{key}: {infotext_utils.quote(value)}" for key, value in params.items() if value is not None]
    lines = [prompt_text, f"Negative prompt: {negative_prompt}" if negative_prompt else None, ", ".join(pairs)]
    return "\n".join(line for line in lines if line is not None).strip()
