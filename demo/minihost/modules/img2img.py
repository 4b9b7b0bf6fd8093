"""What Generate in img2img calls: with one picture, a mask, or a folder of pictures."""
import os

import gradio as gr
from modules import images, processing, scripts, shared
from modules.infotext_utils import create_override_settings_dict
from modules.shared import opts
from modules.txt2img import generated

NAMES = """prompt negative_prompt init inpaint base mask upload folder out resize_mode mask_blur inpainting_mask_invert
inpainting_fill inpaint_full_res inpaint_full_res_padding n_iter batch_size cfg_scale height width denoising_strength
override""".split()
TABS = ("img2img", "inpaint", "upload", "batch")


def process_batch(p, input, output_dir, inpaint_mask_dir, args, **kwargs):
    """Every picture of a folder (or of a list of files) through one `p`; the result of the first one, with all pictures."""
    paths = sorted(entry.path for entry in os.scandir(input)) if isinstance(input, str) else [file.name for file in input]
    shared.state.job_count, whole = len(paths) * p.n_iter, None
    for path in paths:
        if shared.state.interrupted or shared.state.stopping_generation:
            break
        with open(path, "rb") as file:
            p.init_images = [images.read(file).copy()] * p.batch_size
        if output_dir:
            stem = os.path.splitext(os.path.basename(path))[0]
            p.outpath_samples, p.override_settings = output_dir, {
                **p.override_settings, "save_to_dirs": False, "samples_filename_pattern": stem}
        done = scripts.scripts_img2img.run(p, *args) or processing.process_images(p)
        if whole is not None:
            whole.images += done.images
            whole.infotexts += done.infotexts
        whole = whole or done
    return whole


def img2img(id_task: str, request: gr.Request, mode: int, *given):
    values, args = dict(zip(NAMES, given)), given[len(NAMES):]
    init, inpaint, base, mask, upload, folder, out = (values.pop(name) for name in NAMES[2:9])
    picture = {"img2img": init, "inpaint": (inpaint or {}).get("image"), "upload": base}.get(TABS[mode])
    if TABS[mode] == "inpaint" and inpaint:
        mask = processing.create_binary_mask(inpaint["mask"])
    p = processing.StableDiffusionProcessingImg2Img(
        init_images=[images.fix_image(picture)], mask=mask if TABS[mode] in ("inpaint", "upload") else None,
        override_settings=create_override_settings_dict(values.pop("override")), outpath_grids=opts.outdir_img2img_grids,
        outpath_samples=opts.outdir_samples or opts.outdir_img2img_samples, **values)
    runner, source = scripts.scripts_img2img, folder or upload
    if TABS[mode] != "batch":
        return generated(p, runner, request.username, args)
    if not source:
        raise ValueError("the batch tab has neither files nor a folder")
    return generated(p, runner, request.username, args, lambda p: process_batch(p, source, out if folder else "", "", args))
