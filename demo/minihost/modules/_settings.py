"""The settings that mean something here, by section: (key, default)."""
import os

from modules._flags import cmd_opts
from modules.options import OptionInfo

_OUT = os.path.join(cmd_opts.data_dir, "outputs")
TABLE = {
    "Saving": [
        ("samples_save", True), ("samples_format", "png"), ("samples_filename_pattern", ""), ("save_txt", False),
        ("save_images_add_number", True), ("save_images_replace_action", "Replace"), ("save_incomplete_images", False),
        ("save_to_dirs", True), ("directories_filename_pattern", "[date]"), ("directories_max_prompt_words", 8),
        ("jpeg_quality", 80), ("temp_dir", ""), ("outdir_samples", ""),
        ("outdir_txt2img_samples", os.path.join(_OUT, "txt2img-images")), ("outdir_grids", ""),
        ("outdir_img2img_samples", os.path.join(_OUT, "img2img-images")),
        ("outdir_txt2img_grids", os.path.join(_OUT, "txt2img-grids")),
        ("outdir_img2img_grids", os.path.join(_OUT, "img2img-grids")), ("grid_save", True), ("n_rows", -1)],
    "Model": [
        ("sd_model_checkpoint", None), ("sd_checkpoint_hash", ""), ("sd_vae", "Automatic"), ("sd_unet", "Automatic"),
        ("CLIP_stop_at_last_layers", 1), ("randn_source", "GPU"), ("tiling", False), ("eta_noise_seed_delta", 0)],
    "img2img": [
        ("initial_noise_multiplier", 1.0), ("img2img_color_correction", False), ("overlay_inpaint", True),
        ("img2img_background_color", "#ffffff"), ("return_mask", False), ("return_mask_composite", False)],
    "Sampling": [
        ("s_min_uncond", 0.0), ("s_min_uncond_all", False), ("skip_early_cond", 0.0), ("pad_cond_uncond", False),
        ("batch_cond_uncond", True), ("eta_ddim", 0.0), ("eta_ancestral", 1.0)],
    "Page": [
        ("return_grid", True), ("localization", "None"), ("send_size", True), ("enable_pnginfo", True),
        ("live_previews_enable", True), ("live_previews_image_format", "png"), ("show_progress_grid", True),
        ("show_progress_every_n_steps", 10), ("show_progress_type", "Approx NN"), ("live_preview_refresh_period", 1000)],
}
LABELS = {key: OptionInfo(default, key.replace("_", " "), section=(section.lower(), section))
          for section, rows in TABLE.items() for key, default in rows}
