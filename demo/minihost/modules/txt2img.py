"""What Generate in txt2img calls."""
import gradio as gr
from modules import processing, scripts
from modules.infotext_utils import create_override_settings_dict
from modules.shared import opts
from modules.ui_common import plaintext_to_html

NAMES = "prompt negative_prompt n_iter batch_size cfg_scale height width enable_hr denoising_strength hr_scale hr_upscaler".split()


def generated(p, runner, user, args, make=None):
    """What the page shows of a generation: pictures, what is known of them, infotext, comments."""
    p.user, p.scripts, p.script_args = user, runner, args
    try:
        done = make(p) if make is not None else runner.run(p, *args) or processing.process_images(p)
    finally:
        p.close()
    return done.images, done.js(), plaintext_to_html(done.info), plaintext_to_html(done.comments, "comments")


def txt2img(id_task: str, request: gr.Request, *given):
    values = dict(zip((*NAMES, "override"), given))
    p = processing.StableDiffusionProcessingTxt2Img(
        override_settings=create_override_settings_dict(values.pop("override")), outpath_grids=opts.outdir_txt2img_grids,
        outpath_samples=opts.outdir_samples or opts.outdir_txt2img_samples, **values)
    return generated(p, scripts.scripts_txt2img, request.username, given[len(NAMES) + 1:])
