"""One generation. The parts stand in modules of minihost's own; they call each other through this one, as extensions do."""
from modules._processing_base import StableDiffusionProcessing  # noqa: F401
from modules._processing_img2img import (  # noqa: F401
    StableDiffusionProcessingImg2Img,
    apply_color_correction,
    apply_overlay,
    create_binary_mask,
    setup_color_correction,
    uncrop,
)
from modules._processing_latents import (  # noqa: F401
    DecodedSamples,
    create_random_tensors,
    decode_latent_batch,
    fix_seed,
    get_fixed_seed,
    opt_C,
    opt_f,
    program_version,
    txt2img_image_conditioning,
)
from modules._processing_loop import process_images, process_images_inner  # noqa: F401
from modules._processing_result import Processed, create_infotext  # noqa: F401
from modules._processing_txt2img import StableDiffusionProcessingTxt2Img  # noqa: F401
from modules.rng import slerp  # noqa: F401
from modules.sd_hijack import model_hijack  # noqa: F401
from modules.sd_samplers_common import decode_first_stage, images_tensor_to_samples  # noqa: F401
