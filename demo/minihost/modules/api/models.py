"""What the API takes and gives. The fields of a generation are the arguments of the processing classes."""
import inspect
from typing import Any, Optional

from modules.processing import StableDiffusionProcessingImg2Img, StableDiffusionProcessingTxt2Img
from pydantic import BaseModel, Field, create_model

API_NOT_ALLOWED = [
    "self", "kwargs", "sd_model", "outpath_samples", "outpath_grids", "sampler_index", "extra_generation_params", "overlay_images",
    "do_not_reload_embeddings", "seed_enable_extras", "prompt_for_display", "sampler_noise_scheduler_override", "ddim_discretize"]
_TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "Image": str, "list[str]": list[str],
          "dict[str, Any]": dict[str, Any]}


def _request(name, processing, **extra):
    """A pydantic model of the arguments of `processing`, and of `extra` (type, default)."""
    fields = {}
    for key, parameter in inspect.signature(processing.__init__).parameters.items():
        if key not in API_NOT_ALLOWED:
            default = None if isinstance(parameter.default, property) else parameter.default
            fields[key] = (Optional[_TYPES.get(parameter.annotation, Any)], default)        # noqa: UP045
    fields.update((key, (Optional[kind], default)) for key, (kind, default) in extra.items())      # noqa: UP045
    return create_model(name, **fields)


_COMMON = {"sampler_index": (str, "Euler"), "script_name": (str, None), "script_args": (list, []), "send_images": (bool, True),
           "save_images": (bool, False), "alwayson_scripts": (dict, {}), "force_task_id": (str, None), "infotext": (str, None)}
StableDiffusionTxt2ImgProcessingAPI = _request(
    "StableDiffusionProcessingTxt2Img", StableDiffusionProcessingTxt2Img, denoising_strength=(float, None), **_COMMON)
StableDiffusionImg2ImgProcessingAPI = _request(
    "StableDiffusionProcessingImg2Img", StableDiffusionProcessingImg2Img, init_images=(list, None), denoising_strength=(float, 0.75),
    mask=(str, None), include_init_images=(bool, Field(default=False, exclude=True)), **_COMMON)


class TextToImageResponse(BaseModel):
    images: list[str] = Field(default=None)
    parameters: dict
    info: str


class ImageToImageResponse(BaseModel):
    images: list[str] = Field(default=None)
    parameters: dict
    info: str


class PNGInfoRequest(BaseModel):
    image: str


class PNGInfoResponse(BaseModel):
    info: str
    items: dict
    parameters: dict


class ProgressRequest(BaseModel):
    skip_current_image: bool = Field(default=False)


class ProgressResponse(BaseModel):
    progress: float
    eta_relative: float
    state: dict
    current_image: str = Field(default=None)
    textinfo: str = Field(default=None)


class SamplerItem(BaseModel):
    name: str
    aliases: list[str]
    options: dict[str, str]


class SchedulerItem(BaseModel):
    name: str
    label: str
    aliases: Optional[list[str]]            # noqa: UP045
    default_rho: Optional[float]            # noqa: UP045
    need_inner_model: Optional[bool]        # noqa: UP045


class SDModelItem(BaseModel):
    title: str
    model_name: str
    hash: Optional[str]                     # noqa: UP045
    sha256: Optional[str]                   # noqa: UP045
    filename: str
    config: Optional[str]                   # noqa: UP045


class SDVaeItem(BaseModel):
    model_name: str
    filename: str


class ScriptsList(BaseModel):
    txt2img: list = Field(default=None)
    img2img: list = Field(default=None)


class ScriptArg(BaseModel):
    label: str = Field(default=None)
    value: Optional[Any]                    # noqa: UP045
    minimum: Optional[Any]                  # noqa: UP045
    maximum: Optional[Any]                  # noqa: UP045
    step: Optional[Any]                     # noqa: UP045
    choices: Optional[list[str]]            # noqa: UP045


class ScriptInfo(BaseModel):
    name: str = Field(default=None)
    is_alwayson: bool = Field(default=None)
    is_img2img: bool = Field(default=None)
    args: list[ScriptArg]
