"""What the page's Generate button in img2img calls."""
import os
from contextlib import closing

import gradio as gr
from modules import images, processing, scripts, shared
from modules.infotext_utils import create_override_settings_dict
from modules.processing import Processed, StableDiffusionProcessingImg2Img
from modules.shared import opts
from modules.txt2img import _finish
from PIL import Image


def process_batch(p, input, output_dir, inpaint_mask_dir, args, to_scale=False, scale_by=1.0, use_png_info=False, png_info_props=None,
                  png_info_dir=None):
    """All pictures of a folder or list of files through one `p`."""
    files = shared.listfiles(input) if isinstance(input, str) else [getattr(file, "name", file) for file in input]
    shared.state.job_count = len(files) * p.n_iter
    width, height, results = p.width, p.height, None
    for number, path in enumerate(files, 1):
        shared.state.job = f"{number} out of {len(files)}"
        if shared.state.stopping_generation or shared.state.interrupted:
            break
        picture = images.fix_image(Image.open(path))
        p.width, p.height = (int(picture.width * scale_by), int(picture.height * scale_by)) if to_scale else (width, height)
        p.init_images = [picture] * p.batch_size
        if output_dir:
            p.outpath_samples = output_dir
            p.override_settings.update(samples_filename_pattern=os.path.splitext(os.path.basename(path))[0], save_to_dirs=False)
        done = scripts.scripts_img2img.run(p, *args) or processing.process_images(p)
        if results is None:
            results = done
        else:
            results.images.extend(done.images)
            results.infotexts.extend(done.infotexts)
    return results


def img2img(id_task: str, request: gr.Request, mode: int, prompt: str, negative_prompt: str, prompt_styles, init_img, sketch,
            init_img_with_mask, inpaint_color_sketch, inpaint_color_sketch_orig, init_img_inpaint, init_mask_inpaint, mask_blur: int,
            mask_alpha: float, inpainting_fill: int, n_iter: int, batch_size: int, cfg_scale: float, image_cfg_scale: float,
            denoising_strength: float, selected_scale_tab: int, height: int, width: int, scale_by: float, resize_mode: int,
            inpaint_full_res: bool, inpaint_full_res_padding: int, inpainting_mask_invert: int, img2img_batch_input_dir: str,
            img2img_batch_output_dir: str, img2img_batch_inpaint_mask_dir: str, override_settings_texts, img2img_batch_use_png_info: bool,
            img2img_batch_png_info_props: list, img2img_batch_png_info_dir: str, img2img_batch_source_type: str, img2img_batch_upload: list,
            *args):
    image, mask = {0: (init_img, None), 4: (init_img_inpaint, init_mask_inpaint)}.get(mode, (None, None))
    if mode == 2:
        image, mask = init_img_with_mask["image"], processing.create_binary_mask(init_img_with_mask["mask"])
    image, mask = images.fix_image(image), images.fix_image(mask)
    if selected_scale_tab == 1 and mode != 5:
        if not image:
            raise AssertionError("There is no picture to take the size from: choose one, or give width and height")
        width, height = int(image.width * scale_by), int(image.height * scale_by)
    p = StableDiffusionProcessingImg2Img(
        outpath_samples=opts.outdir_samples or opts.outdir_img2img_samples, outpath_grids=opts.outdir_grids or opts.outdir_img2img_grids,
        prompt=prompt, negative_prompt=negative_prompt, styles=prompt_styles, n_iter=n_iter, batch_size=batch_size, cfg_scale=cfg_scale,
        width=width, height=height, init_images=[image], mask=mask, mask_blur=mask_blur, inpainting_fill=inpainting_fill,
        resize_mode=resize_mode, denoising_strength=denoising_strength, image_cfg_scale=image_cfg_scale, inpaint_full_res=inpaint_full_res,
        inpaint_full_res_padding=inpaint_full_res_padding, inpainting_mask_invert=inpainting_mask_invert,
        override_settings=create_override_settings_dict(override_settings_texts))
    p.scripts, p.script_args, p.user = scripts.scripts_img2img, args, request.username
    with closing(p):
        if mode == 5:
            source = img2img_batch_upload if img2img_batch_source_type == "upload" else img2img_batch_input_dir
            assert source, "the batch tab has no pictures"
            processed = process_batch(p, source, img2img_batch_output_dir if isinstance(source, str) else "", "", args,
                                      to_scale=selected_scale_tab == 1, scale_by=scale_by) or Processed(p, [], p.seed, "")
        else:
            processed = scripts.scripts_img2img.run(p, *args) or processing.process_images(p)
    return _finish(processed)
