"""The settings that minihost knows: key, default, and what the page needs to show them. Labels are minihost's own."""
import os

import gradio as gr
from modules import shared, shared_items
from modules.options import OptionInfo, categories, options_section
from modules.paths_internal import data_path, default_output_dir

options_templates = {}


def _words(text):
    return set(text.split())


restricted_opts = _words("""samples_filename_pattern directories_filename_pattern outdir_samples outdir_txt2img_samples
outdir_img2img_samples outdir_extras_samples outdir_grids outdir_txt2img_grids outdir_save outdir_init_images temp_dir""")
for _id in ("saving", "sd", "ui", "system", "postprocessing"):
    categories.register_category(_id, _id)


def _slider(low, high, step):
    return gr.Slider, {"minimum": low, "maximum": high, "step": step}


def _choice(*choices):
    return gr.Radio, {"choices": list(choices)}


def _section(section, **options):
    """Each option is its default, or (default, infotext key or None, component, component arguments)."""
    made = {}
    for key, value in options.items():
        default, infotext, component, arguments = (*value, None, None, None)[:4] if isinstance(value, tuple) else (value, None, None, None)
        made[key] = OptionInfo(default, key.replace("_", " "), component, arguments, infotext=infotext)
    options_templates.update(options_section(section, made))


_section(("saving-images", "Saving pictures", "saving"), samples_save=True, samples_format="png", samples_filename_pattern="",
         save_images_add_number=True, save_images_replace_action=("Replace", None, *_choice("Replace", "Add number suffix")),
         grid_save=True, grid_format="png", grid_extended_filename=False, grid_only_if_multiple=True, grid_prevent_empty_spots=False,
         n_rows=-1, grid_background_color="#ffffff", save_images_before_face_restoration=False, save_images_before_highres_fix=False,
         save_images_before_color_correction=False, save_mask=False, save_mask_composite=False, jpeg_quality=(80, None, *_slider(1,
         100, 1)), webp_lossless=False, export_for_4chan=True, img_downscale_threshold=4.0, target_side_length=4000,
         save_selected_only=True, save_init_img=False, save_incomplete_images=False, temp_dir="")
_section(("saving-paths", "Folders for saving", "saving"), outdir_samples="", outdir_txt2img_samples=os.path.join(default_output_dir,
         "txt2img-images"), outdir_img2img_samples=os.path.join(default_output_dir, "img2img-images"), outdir_grids="",
         outdir_txt2img_grids=os.path.join(default_output_dir, "txt2img-grids"), outdir_img2img_grids=os.path.join(default_output_dir,
         "img2img-grids"), outdir_save=os.path.join(data_path, "log", "images"), outdir_init_images=os.path.join(default_output_dir,
         "init-images"))
_section(("saving-to-dirs", "Saving into sub-folders", "saving"), save_to_dirs=True, grid_save_to_dirs=True,
         use_save_to_dirs_for_ui=False, directories_filename_pattern="[date]", directories_max_prompt_words=8)
_section(("face-restoration", "Face restoration", "postprocessing"), face_restoration=(False, "Face restoration"),
         face_restoration_model="CodeFormer", code_former_weight=0.5, upscaler_for_img2img=None)
_section(("system", "System", "system"), list_hidden_files=True, disable_mmap_load_safetensors=False, memmon_poll_rate=8,
         samples_log_stdout=False, show_warnings=False, hide_ldm_prints=True)
_section(("API", "API", "system"), api_enable_requests=True, api_forbid_local_requests=True, api_useragent="")
_section(("sd", "Stable Diffusion", "sd"), sd_model_checkpoint=(None, "Model hash", gr.Dropdown, lambda: {"choices":
         shared_items.list_checkpoint_tiles()}), sd_checkpoints_limit=1, sd_checkpoints_keep_in_cpu=True, sd_checkpoint_cache=0,
         sd_unet=("Automatic", None, gr.Dropdown, lambda: {"choices": shared_items.sd_unet_items()}), enable_quantization=False,
         emphasis=("Original", "Emphasis"), CLIP_stop_at_last_layers=(1, "Clip skip", *_slider(1, 12, 1)), randn_source=("GPU", "RNG",
         *_choice("GPU", "CPU", "NV")), tiling=(False, "Tiling"), hires_fix_refiner_pass=("second pass", "Hires refiner"),
         upcast_attn=False)
_section(("vae", "VAE", "sd"), sd_vae=("Automatic", "VAE", gr.Dropdown, lambda: {"choices": shared_items.sd_vae_items()}),
         sd_vae_checkpoint_cache=0, auto_vae_precision=True, auto_vae_precision_bfloat16=False, sd_vae_encode_method=("Full",
         "VAE Encoder", *_choice("Full", "TAESD")), sd_vae_decode_method=("Full", "VAE Decoder", *_choice("Full", "Approx NN",
         "Approx cheap", "TAESD")))
_section(("img2img", "img2img", "sd"), inpainting_mask_weight=(1.0, "Conditional mask weight", *_slider(0, 1, 0.01)),
         initial_noise_multiplier=(1.0, "Noise multiplier", *_slider(0, 1.5, 0.001)), img2img_extra_noise=(0.0, "Extra noise",
         *_slider(0, 1, 0.01)), img2img_color_correction=False, img2img_fix_steps=False, img2img_background_color="#ffffff",
         return_mask=False, return_mask_composite=False, overlay_inpaint=True, img2img_batch_show_results_limit=32,
         img2img_editor_height=720)
_section(("optimizations", "Optimizations", "sd"), s_min_uncond=(0.0, "NGMS", *_slider(0, 15, 0.01)), s_min_uncond_all=(False,
         "NGMS all steps"), token_merging_ratio=(0.0, "Token merging ratio", *_slider(0, 0.9, 0.1)), token_merging_ratio_img2img=(0.0,
         None, *_slider(0, 0.9, 0.1)), token_merging_ratio_hr=(0.0, "Token merging ratio hr", *_slider(0, 0.9, 0.1)),
         pad_cond_uncond=(False, "Pad conds"), pad_cond_uncond_v0=(False, "Pad conds v0"), persistent_cond_cache=True,
         batch_cond_uncond=True, fp8_storage="Disable", cache_fp16_weight=False)
_section(("compatibility", "Compatibility", "sd"), use_old_karras_scheduler_sigmas=False, no_dpmpp_sde_batch_determinism=False,
         use_old_hires_fix_width_height=False, hires_fix_use_firstpass_conds=False, use_old_scheduling=(False,
         "Old prompt editing timelines"), use_downcasted_alpha_bar=(False, "Downcast alphas_cumprod"),
         refiner_switch_by_sample_steps=(False, "Refiner switch by sampling steps"), sdxl_crop_top=0, sdxl_crop_left=0)
_section(("ui", "Page", "ui"), return_grid=True, do_not_show_images=False, gallery_height="", samplers_in_dropdown=True,
         localization="None", hidden_tabs=[], ui_tab_order=[], show_progress_in_title=True, send_seed=True, send_size=True,
         quicksettings_list=["sd_model_checkpoint"])
_section(("infotext", "Infotext", "ui"), enable_pnginfo=True, save_txt=False, add_model_name_to_info=True, add_model_hash_to_info=True,
         add_vae_name_to_info=True, add_vae_hash_to_info=True, add_user_name_to_info=False, add_version_to_infotext=True,
         disable_weights_auto_swap=True, infotext_skip_pasting=[], infotext_styles="Apply if any")
_section(("live-preview", "Live previews", "ui"), show_progressbar=True, live_previews_enable=True, live_previews_image_format=("png",
         None, *_choice("jpeg", "png", "webp")), show_progress_grid=True, show_progress_every_n_steps=(10, None, *_slider(-1, 32, 1)),
         show_progress_type=("Approx NN", None, *_choice("Full", "Approx NN", "Approx cheap", "TAESD")),
         live_preview_content=("Prompt", None, *_choice("Combined", "Prompt", "Negative prompt")), live_preview_refresh_period=1000,
         live_preview_fast_interrupt=False)
_section(("sampler-params", "Sampler parameters", "sd"), hide_samplers=[], eta_ddim=(0.0, "Eta DDIM", *_slider(0, 1, 0.01)),
         eta_ancestral=(1.0, "Eta", *_slider(0, 1, 0.01)), s_churn=(0.0, "Sigma churn"), s_tmin=(0.0, "Sigma tmin"),
         s_tmax=(0.0, "Sigma tmax"), s_noise=(1.0, "Sigma noise"), sigma_min=(0.0,
         "Schedule min sigma"), sigma_max=(0.0, "Schedule max sigma"), rho=(0.0, "Schedule rho"), eta_noise_seed_delta=(0, "ENSD"),
         always_discard_next_to_last_sigma=(False, "Discard penultimate sigma"), sgm_noise_multiplier=(False, "SGM noise multiplier"),
         uni_pc_variant=("bh1", "UniPC variant", *_choice("bh1", "bh2", "vary_coeff")), uni_pc_skip_type=("time_uniform",
         "UniPC skip type", *_choice("time_uniform", "time_quadratic", "logSNR")), uni_pc_order=(3, "UniPC order"),
         uni_pc_lower_order_final=(True, "UniPC lower order final"), sd_noise_schedule=("Default", "Noise Schedule"),
         skip_early_cond=(0.0, "Skip Early CFG", *_slider(0, 1, 0.01)), beta_dist_alpha=(0.6, "Beta scheduler alpha"),
         beta_dist_beta=(0.6, "Beta scheduler beta"))
_section((None, "Hidden"), disabled_extensions=[], disable_all_extensions="none", sd_checkpoint_hash="")
for _key in ("api_enable_requests", "api_forbid_local_requests", "api_useragent"):
    options_templates[_key].restrict_api = True
for _key in restricted_opts & set(options_templates):
    options_templates[_key].component_args = shared.hide_dirs
