"""What the page's Generate button in txt2img calls."""
from contextlib import closing

import gradio as gr
from modules import processing, scripts, shared
from modules.infotext_utils import create_override_settings_dict
from modules.shared import opts
from modules.ui_common import plaintext_to_html


def txt2img_create_processing(id_task: str, request: gr.Request, prompt: str, negative_prompt: str, prompt_styles, n_iter: int, batch_size: int,
                              cfg_scale: float, height: int, width: int, enable_hr: bool, denoising_strength: float, hr_scale: float,
                              hr_upscaler: str, hr_second_pass_steps: int, hr_resize_x: int, hr_resize_y: int, hr_checkpoint_name: str,
                              hr_sampler_name: str, hr_scheduler: str, hr_prompt: str, hr_negative_prompt, override_settings_texts, *args,
                              force_enable_hr=False):
    p = processing.StableDiffusionProcessingTxt2Img(
        outpath_samples=opts.outdir_samples or opts.outdir_txt2img_samples, outpath_grids=opts.outdir_grids or opts.outdir_txt2img_grids,
        prompt=prompt, negative_prompt=negative_prompt, styles=prompt_styles, n_iter=n_iter, batch_size=batch_size, cfg_scale=cfg_scale,
        height=height, width=width, enable_hr=enable_hr or force_enable_hr, denoising_strength=denoising_strength, hr_scale=hr_scale,
        hr_upscaler=hr_upscaler, hr_second_pass_steps=hr_second_pass_steps, hr_resize_x=hr_resize_x, hr_resize_y=hr_resize_y,
        hr_prompt=hr_prompt, hr_negative_prompt=hr_negative_prompt, override_settings=create_override_settings_dict(override_settings_texts))
    for name, value, same in (("hr_checkpoint_name", hr_checkpoint_name, "checkpoint"), ("hr_sampler_name", hr_sampler_name, "sampler"),
                              ("hr_scheduler", hr_scheduler, "scheduler")):
        setattr(p, name, None if value == f"Use same {same}" else value)
    p.scripts, p.script_args, p.user = scripts.scripts_txt2img, args, request.username
    return p


def _finish(processed):
    shared.total_tqdm.clear()
    if opts.do_not_show_images:
        processed.images = []
    return processed.images, processed.js(), plaintext_to_html(processed.info), plaintext_to_html(processed.comments, classname="comments")


def txt2img(id_task: str, request: gr.Request, *args):
    with closing(txt2img_create_processing(id_task, request, *args)) as p:
        return _finish(scripts.scripts_txt2img.run(p, *p.script_args) or processing.process_images(p))
