"""The settings that mean something here: (key, default, key in the infotext or nothing)."""
import os

from modules._flags import cmd_opts
from modules.options import OptionInfo

_OUT = os.path.join(cmd_opts.data_dir, "outputs")
TABLE = {
    "Saving": [
        ("samples_save", True), ("samples_format", "png"), ("samples_filename_pattern", ""), ("save_txt", False),
        ("save_images_add_number", True), ("save_images_replace_action", "Replace"), ("save_incomplete_images", False),
        ("save_selected_only", True), ("save_to_dirs", True), ("directories_filename_pattern", "[date]"),
        ("directories_max_prompt_words", 8), ("jpeg_quality", 80), ("webp_lossless", False), ("temp_dir", ""),
        ("outdir_samples", ""), ("outdir_txt2img_samples", os.path.join(_OUT, "txt2img-images")),
        ("outdir_img2img_samples", os.path.join(_OUT, "img2img-images")), ("outdir_grids", ""),
        ("outdir_txt2img_grids", os.path.join(_OUT, "txt2img-grids")),
        ("outdir_img2img_grids", os.path.join(_OUT, "img2img-grids")),
        ("outdir_save", os.path.join(cmd_opts.data_dir, "log", "images")),
        ("grid_save", True), ("grid_format", "png"), ("grid_only_if_multiple", True), ("n_rows", -1),
        ("grid_background_color", "#ffffff")],
    "Model": [
        ("sd_model_checkpoint", None, "Model hash"), ("sd_checkpoint_hash", ""), ("sd_vae", "Automatic", "VAE"),
        ("sd_unet", "Automatic"), ("CLIP_stop_at_last_layers", 1, "Clip skip"), ("randn_source", "GPU", "RNG"),
        ("tiling", False, "Tiling"), ("persistent_cond_cache", True)],
    "img2img": [
        ("inpainting_mask_weight", 1.0, "Conditional mask weight"), ("initial_noise_multiplier", 1.0, "Noise multiplier"),
        ("img2img_color_correction", False), ("img2img_fix_steps", False), ("img2img_background_color", "#ffffff"),
        ("return_mask", False), ("return_mask_composite", False), ("overlay_inpaint", True)],
    "Sampling": [
        ("s_min_uncond", 0.0, "NGMS"), ("s_min_uncond_all", False, "NGMS all steps"),
        ("skip_early_cond", 0.0, "Skip Early CFG"), ("pad_cond_uncond", False, "Pad conds"), ("batch_cond_uncond", True),
        ("eta_ddim", 0.0, "Eta DDIM"), ("eta_ancestral", 1.0, "Eta"), ("s_churn", 0.0, "Sigma churn"),
        ("s_tmin", 0.0, "Sigma tmin"), ("s_tmax", 0.0, "Sigma tmax"), ("s_noise", 1.0, "Sigma noise"),
        ("sigma_min", 0.0, "Schedule min sigma"), ("sigma_max", 0.0, "Schedule max sigma"), ("rho", 0.0, "Schedule rho"),
        ("always_discard_next_to_last_sigma", False, "Discard penultimate sigma"), ("beta_dist_alpha", 0.6),
        ("beta_dist_beta", 0.6)],
    "Page": [
        ("return_grid", True), ("localization", "None"), ("send_seed", True), ("send_size", True), ("gallery_height", ""),
        ("enable_pnginfo", True), ("add_model_name_to_info", True), ("add_model_hash_to_info", True),
        ("infotext_skip_pasting", []), ("js_modal_lightbox", True)],
    "Live previews": [
        ("live_previews_enable", True), ("live_previews_image_format", "png"), ("show_progress_grid", True),
        ("show_progress_every_n_steps", 10), ("show_progress_type", "Approx NN"), ("live_preview_content", "Prompt"),
        ("live_preview_refresh_period", 1000)],
}
LABELS = {key: OptionInfo(default, key.replace("_", " "), section=(section.lower(), section), infotext=next(iter(name), None))
          for section, rows in TABLE.items() for key, default, *name in rows}
