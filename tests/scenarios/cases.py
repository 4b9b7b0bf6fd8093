"""What is asked of a host for the recording: requests, names and places, with what of the answers is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

from .pictures import encoded, picture, square_mask

BASE = {
    "prompt": "a red star",
    "negative_prompt": "blurry",
    "seed": 1,
    "subseed": 5,
    "steps": 3,
    "width": 64,
    "height": 64,
    "sampler_name": "Euler",
    "cfg_scale": 7,
    "batch_size": 2,
}
IMAGE = {"init_images": [encoded(picture())], "denoising_strength": 0.6}
MASK = {"mask": encoded(square_mask()), "mask_blur": 0, "inpainting_fill": 1, "inpaint_full_res": False}
HIRES = {"enable_hr": True, "hr_scale": 1.5, "denoising_strength": 0.6, "hr_upscaler": "Latent"}
LONG = "a red star, " * 40  # two chunks of text against one
TITLE = "Animate (PIA)"
CLIP = {TITLE: {"args": [{"num_frames": 3, "formats": ["png"]}]}}


@dataclasses.dataclass(frozen=True)
class Case:
    """One request. `keep`: "all" events, "rows" of the UNet's calls, "sampling", or "answer" alone."""

    tab: str
    request: dict[str, Any]
    keep: str = "all"
    probe: dict[str, Any] = dataclasses.field(default_factory=dict)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    real: bool = False  # only the WebUI has it
    loose: bool = False  # numbers to 5 %: the sampler chooses its steps by what it computed

    def body(self) -> dict[str, Any]:
        request = {**BASE, **self.request}
        scripts = dict(request.get("alwayson_scripts", {}))
        scripts["PIA probe"] = {"args": [{"record": True, **self.probe}]}
        body = {**request, "alwayson_scripts": scripts}
        if self.options:
            body["override_settings"] = {**body.get("override_settings", {}), **self.options}
        return body


def text(keep: str = "all", **request: Any) -> Case:
    return Case("txt2img", request, keep)


def image(keep: str = "all", **request: Any) -> Case:
    return Case("img2img", {**IMAGE, **request}, keep)


def rows(options: dict[str, Any] | None = None, **request: Any) -> Case:
    return Case("txt2img", request, "rows", options=options or {})


SAMPLERS = (
    "DPM++ 2M,DPM++ SDE,DPM++ 2M SDE,DPM++ 2M SDE Heun,DPM++ 2S a,DPM++ 3M SDE,Euler a,Euler,LMS,Heun,DPM2,"
    "DPM2 a,DPM fast,DPM adaptive,Restart,DDIM,DDIM CFG++,PLMS,UniPC,LCM"
).split(",")
SCHEDULERS = (
    "Automatic,Uniform,Karras,Exponential,Polyexponential,SGM Uniform,KL Optimal,Align Your Steps,Simple,Normal,"
    "DDIM,Beta"
).split(",")
ONLY_REAL_SAMPLERS = ("Restart", "DDIM CFG++", "PLMS", "UniPC", "LCM")
SWALLOWED = (
    "before_process process before_process_batch after_extra_networks_activate process_batch "
    "process_before_every_sampling post_sample postprocess_batch postprocess_batch_list postprocess_image "
    "postprocess_maskoverlay postprocess_image_after_composite postprocess"
).split()


def _failing() -> dict[str, Case]:
    out = {}
    for hook in SWALLOWED:
        out[f"swallowed: {hook}"] = Case(
            "txt2img", {"steps": 1}, "hooks", {"fault": {"point": hook, "message": "a hook failed"}}
        )
    teapot = {
        "point": "sample",
        "error": "ValueError",
        "message": "no such thing",
        "status": 422,
        "detail": "say something else",
    }
    out["raised: sample, with a status and a detail"] = Case("txt2img", {}, "hooks", {"fault": teapot})
    for point in ("init", "setup_conds", "sample", "unet", "decode"):
        out[f"raised: {point}"] = Case("txt2img", {}, "hooks", {"fault": {"point": point, "message": f"{point} broke"}})
    out["raised: encode"] = Case("img2img", IMAGE, "hooks", {"fault": {"point": "encode", "message": "encode broke"}})
    out["raised: unet out of memory"] = Case(
        "txt2img", {}, "hooks", {"fault": {"point": "unet", "error": "out of memory", "message": "CUDA out of memory."}}
    )
    return out


def _refused() -> dict[str, Case]:
    def wrong(tab: str = "txt2img", **request: Any) -> Case:
        return Case(tab, request, "answer")

    return {
        "refused: a script that is not there": wrong(alwayson_scripts={"no such": {"args": []}}),
        "refused: a chosen script among the always-on ones": dataclasses.replace(
            wrong(alwayson_scripts={"Prompt matrix": {"args": []}}), real=True
        ),
        "refused: script_name that is not there": wrong(script_name="no such"),
        "refused: a sampler that is not there": wrong(sampler_name="no such"),
        "refused: no picture": wrong("img2img"),
        "refused: a picture that is none": wrong("img2img", init_images=["bm90IGEgcGljdHVyZQ=="]),
        "refused: more pictures than the batch": wrong("img2img", init_images=IMAGE["init_images"] * 3),
        "refused: a width that is no number": wrong(width="wide"),
        "refused: a checkpoint that is not there": wrong(override_settings={"sd_model_checkpoint": "no such"}),
    }


def _samplers() -> dict[str, Case]:
    out = {}
    for name in SAMPLERS:
        case = text("sampling", sampler_name=name, steps=4, batch_size=1)
        out[f"sampler: {name}"] = dataclasses.replace(
            case, real=name in ONLY_REAL_SAMPLERS, loose=name == "DPM adaptive"
        )
    for name in SCHEDULERS:
        out[f"scheduler: {name}"] = text("sampling", sampler_name="DPM++ 2M", scheduler=name, steps=4, batch_size=1)
    out["sampler: Euler in img2img"] = image("sampling", steps=6, batch_size=1)
    out["sampler: DDIM in img2img"] = image("sampling", steps=6, batch_size=1, sampler_name="DDIM")
    return out


REQUESTS: dict[str, Case] = {
    "txt2img": text(),
    "txt2img, two batches, saved": text(n_iter=2, save_images=True),
    "txt2img, hires": text(**HIRES),
    "txt2img, hires with an upscaler": text("hooks", **{**HIRES, "hr_upscaler": "Lanczos"}),
    "txt2img, LoRA": text(prompt="a red star <lora:miniature_outline:1>"),
    "txt2img, variation": text("sampling", subseed_strength=0.3, seed_resize_from_w=32, seed_resize_from_h=32),
    "txt2img, CLIP skip": Case("txt2img", {}, "sampling", options={"CLIP_stop_at_last_layers": 2}),
    "txt2img, tiling": text("sampling", tiling=True),
    "img2img": image(),
    "img2img, two batches": image("hooks", n_iter=2),
    "img2img, strength 1": image("sampling", denoising_strength=1.0),
    "img2img, two pictures": image("hooks", init_images=[encoded(picture()), encoded(picture(turn=1))]),
    "img2img, colour correction": Case("img2img", IMAGE, "hooks", options={"img2img_color_correction": True}),
    "img2img, mask": image(**MASK),
    "img2img, mask, only masked": image("hooks", **{**MASK, "inpaint_full_res": True, "inpaint_full_res_padding": 8}),
    **{f"img2img, mask, fill {fill}": image("hooks", **{**MASK, "inpainting_fill": fill}) for fill in (0, 2, 3)},
    "rows: usual": rows(),
    "rows: CFG 1": rows(cfg_scale=1),
    "rows: long prompt": rows(prompt=LONG),
    "rows: long prompt, padded": rows({"pad_cond_uncond": True}, prompt=LONG),
    "rows: cond and uncond apart": rows({"batch_cond_uncond": False}),
    "rows: NGMS": rows(s_min_uncond=8.0, steps=4),
    "rows: NGMS all": rows({"s_min_uncond_all": True}, s_min_uncond=8.0, steps=4),
    "rows: skip early CFG": rows({"skip_early_cond": 0.5}, steps=4),
    "rows: AND": rows(prompt="a red star AND a blue disc :0.5"),
    "rows: AND, one part long": rows(prompt=f"{LONG} AND a blue disc"),
    "rows: AND, NGMS": rows(prompt="a red star AND a blue disc :0.5", s_min_uncond=8.0, steps=4),
    "rows: AND, DDIM": rows(prompt="a red star AND a blue disc :0.5", sampler_name="DDIM"),
    "rows: prompt that changes": rows(prompt="a [red:blue:2] star", steps=4),
    "interrupted at the second call": Case(
        "txt2img", {"steps": 5}, "hooks", {"fault": {"point": "unet", "call": 2, "error": "interrupt"}}
    ),
    "skipped at the second call": Case(
        "txt2img", {"steps": 5, "n_iter": 2}, "hooks", {"fault": {"point": "unet", "call": 2, "error": "skip"}}
    ),
    "a text among the pictures": Case("txt2img", {}, "answer", {"neighbours": ["text"]}),
    "clip, img2img": image("all", alwayson_scripts=CLIP, batch_size=1),
    "clip, txt2img": text("all", alwayson_scripts=CLIP, batch_size=1),
    "clip, AND": image("rows", alwayson_scripts=CLIP, batch_size=1, prompt="a red star AND a blue disc :0.5"),
    "X/Y/Z plot": Case(
        "txt2img",
        {
            "script_name": "x/y/z plot",
            "script_args": [
                1,
                "1,2",
                [],
                0,
                "",
                [],
                0,
                "",
                [],
                True,
                False,
                False,
                False,
                False,
                False,
                False,
                0,
                False,
            ],
        },
        "answer",
        real=True,
    ),
    **_samplers(),
    **_refused(),
    **_failing(),
}

# Settings that the extension reads or that its tests set.
OPTIONS = (
    "samples_save save_incomplete_images img2img_background_color enable_pnginfo live_previews_image_format "
    "save_txt save_to_dirs directories_filename_pattern samples_filename_pattern overlay_inpaint "
    "save_images_add_number save_images_replace_action show_progress_grid CLIP_stop_at_last_layers "
    "batch_cond_uncond pad_cond_uncond s_min_uncond_all skip_early_cond img2img_color_correction "
    "eta_noise_seed_delta sd_vae samples_format grid_save return_grid"
).split()

# Routes whose answers are recorded; lists by the keys of an entry.
GETS = ("/sdapi/v1/samplers", "/sdapi/v1/schedulers", "/sdapi/v1/progress?skip_current_image=true", "/internal/ping")

# Element ids of the page that the extension's scripts, its panel and its tests rely on.
PAGE_IDS = (
    "tabs tab_txt2img tab_img2img tab_pnginfo txt2img_prompt txt2img_neg_prompt img2img_prompt "
    "img2img_neg_prompt txt2img_generate img2img_generate txt2img_interrupt img2img_interrupt txt2img_skip "
    "img2img_skip txt2img_gallery img2img_gallery txt2img_gallery_container img2img_gallery_container "
    "txt2img_results img2img_results txt2img_settings img2img_settings html_info_txt2img html_info_img2img "
    "html_log_txt2img html_log_img2img img2img_image img2maskimg img_inpaint_base mode_img2img "
    "img2img_img2img_tab txt2img_seed img2img_seed txt2img_steps img2img_steps txt2img_sampling img2img_sampling "
    "txt2img_scheduler txt2img_width txt2img_height img2img_width img2img_height txt2img_cfg_scale "
    "img2img_cfg_scale txt2img_batch_count txt2img_batch_size img2img_batch_count img2img_batch_size "
    "img2img_denoising_strength txt2img_script_container img2img_script_container script_list txt2img_tools "
    "img2img_tools paste pnginfo_image pnginfo_send_buttons setting_sd_model_checkpoint settings_submit "
    "txt2img_styles img2img_styles quicksettings"
).split()

ONLY_REAL_IDS = ("img_inpaint_base", "settings_submit", "txt2img_styles", "img2img_styles")

# Functions and values of the page's scripts that an extension may use.
PAGE_NAMES = (
    "gradioApp get_uiCurrentTab get_uiCurrentTabContent onUiUpdate onAfterUiUpdate onUiLoaded onUiTabChange "
    "onOptionsChanged updateInput opts localization gradio_config switch_to_txt2img switch_to_img2img_tab "
    "get_tab_index selected_gallery_index selected_gallery_button all_gallery_buttons requestProgress submit "
    "submit_img2img"
).split()

# Names besides those of lib_pia.host.contract whose kind or parameters are recorded.
MORE_NAMES = {
    "modules.processing": ["process_images", "Processed", "StableDiffusionProcessing.setup_conds", "apply_overlay"],
    "modules.scripts": [f"Script.{name}" for name in ("title", "show", "ui", *SWALLOWED, "on_mask_blend", "before_hr")],
    "modules.sd_unet": ["apply_unet"],
    "modules.shared": ["sd_model", "state.interrupt", "state.skip", "state.nextjob", "state.assign_current_image"],
    "modules.script_callbacks": ["on_cfg_after_cfg", "on_after_component", "on_before_component", "on_ui_tabs"],
}
