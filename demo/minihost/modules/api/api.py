"""/sdapi/v1: the routes that an extension and its users meet. --api-auth guards the extension's own routes alone."""

import base64
import contextlib
import io
import secrets
import time
from typing import Any, Optional

from fastapi import Body, FastAPI, HTTPException, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from modules import _page, errors, images, infotext_utils, processing, script_callbacks, scripts, sd_models
from modules.sd_samplers import all_samplers_map, schedulers
from modules.shared import DEFAULTS, opts, state
from PIL import Image, ImageOps
from pydantic import create_model


def decode_base64_to_image(encoding):
    """The picture of base64 or a data URL, turned as its EXIF says."""
    try:
        return ImageOps.exif_transpose(Image.open(io.BytesIO(base64.b64decode(encoding.split(",")[-1]))))
    except Exception as error:
        raise HTTPException(status_code=500, detail="Invalid encoded image") from error


def encode_pil_to_base64(image):
    """A PNG as base64, in bytes; a text is handed through."""
    if isinstance(image, str):
        return image
    images.write_png(image, buffer := io.BytesIO())
    return base64.b64encode(buffer.getvalue())


def answer_errors(app: FastAPI):
    """An exception is answered with its own `status_code`, `detail` and `body`, where it has them."""

    async def answered(request: Request, error: Exception):
        own = vars(error)
        if not isinstance(error, HTTPException):
            errors.report(f"{request.method} {request.url}: {type(error).__name__}: {error}")
        told = {"error": type(error).__name__, "errors": str(error)}
        told |= {name: own.get(name, "") for name in ("detail", "body")}
        return JSONResponse(jsonable_encoder(told), status_code=own.get("status_code", 500))

    for kind in (Exception, HTTPException):
        app.add_exception_handler(kind, answered)


def request_model(name, kind):
    """The pydantic model of requests for `kind` of processing; every field may be null."""
    fields = {**kind.ARGUMENTS, **DEFAULTS["arguments"]["only the API"]}
    types = {key: Any if value is None else Optional[type(value)] for key, value in fields.items()}  # noqa: UP045
    return create_model(name, **{key: (types[key], value) for key, value in fields.items()})


KINDS = {"txt2img": processing.StableDiffusionProcessingTxt2Img, "img2img": processing.StableDiffusionProcessingImg2Img}
TextRequest = request_model("TextRequest", KINDS["txt2img"])
ImageRequest = request_model("ImageRequest", KINDS["img2img"])


def arguments_of(request, runner, defaults):
    """The scripts' arguments: short lists are filled up with defaults, long ones cut."""
    values, known = list(defaults), {script.title().lower(): script for script in runner.alwayson_scripts}
    wanted = {name: given.get("args", ()) for name, given in (request.alwayson_scripts or {}).items()}
    if request.script_name:
        wanted[request.script_name] = ()
    for name, args in wanted.items():
        if (script := known.get(name.lower())) is None:
            raise HTTPException(status_code=422, detail=f"Script '{name}' not found")
        given = list(args)[: script.args_to - script.args_from]
        values[script.args_from : script.args_from + len(given)] = given
    return values


class Api:
    def __init__(self, app: FastAPI):
        answer_errors(app)
        self.default_script_arg_txt2img = scripts.scripts_txt2img.defaults
        self.default_script_arg_img2img = scripts.scripts_img2img.defaults
        runners = {"txt2img": scripts.scripts_txt2img, "img2img": scripts.scripts_img2img}
        every = [script for runner in runners.values() for script in runner.alwayson_scripts]
        posts = {
            "txt2img": self.txt2img, "img2img": self.img2img, "png-info": png_info, "options": set_options,
            "interrupt": state.interrupt, "refresh-checkpoints": sd_models.list_models, "refresh-vae": lambda: None,
        }  # fmt: skip
        gets = {
            "progress": progress, "options": opts.all, "sd-models": models,
            "samplers": lambda: [{"name": one.name, "options": one.options} for one in all_samplers_map.values()],
            "schedulers": lambda: [{"name": one.name, "label": one.label} for one in schedulers],
            "scripts": lambda: {tab: [one.name for one in runners[tab].alwayson_scripts] for tab in runners},
            "script-info": lambda: [script.api_info for script in every if script.api_info],
        }  # fmt: skip
        for method, routes in (("POST", posts), ("GET", gets)):
            for name, endpoint in routes.items():
                app.add_api_route(f"/sdapi/v1/{name}", endpoint, methods=[method])

    def txt2img(self, request: TextRequest):
        return self._generate("txt2img", request, {})

    def img2img(self, request: ImageRequest):
        if request.init_images is None:
            raise HTTPException(status_code=404, detail="Init image not found")
        given = {"mask": decode_base64_to_image(request.mask) if request.mask else None}
        given["init_images"] = [decode_base64_to_image(picture) for picture in request.init_images]
        answer = self._generate("img2img", request, given)
        if not request.include_init_images:
            answer["parameters"].update(init_images=None, mask=None)
        return answer

    def _generate(self, tab, request, given):
        runner, unsaved = getattr(scripts, f"scripts_{tab}"), not request.save_images
        arguments = arguments_of(request, runner, getattr(self, f"default_script_arg_{tab}"))
        given = {**{name: getattr(request, name) for name in KINDS[tab].ARGUMENTS}, **given}
        given.update(do_not_save_samples=unsaved, do_not_save_grid=unsaved)
        given["sampler_name"] = request.sampler_name or request.sampler_index
        task = request.force_task_id or f"task({tab}-{secrets.token_hex(4)})"
        with _page.job(task, f"scripts_{tab}"), contextlib.closing(KINDS[tab](**given)) as p:
            p.is_api, p.scripts, p.script_args = True, runner, arguments
            processed = processing.process_images(p)
        sent = [encode_pil_to_base64(image) for image in processed.images] if request.send_images else []
        return {"images": sent, "parameters": jsonable_encoder(dict(request)), "info": processed.js()}


def png_info(image: str = Body(..., embed=True)):
    infotext, others = images.read_info_from_image(decode_base64_to_image(image))
    values = infotext_utils.parse_generation_parameters(infotext or "")
    script_callbacks.infotext_pasted_callback(infotext or "", values)
    return {"info": infotext or "", "items": others, "parameters": values}


def progress(skip_current_image: bool = False):
    running = state.job_count != 0
    done, picture = 0.01 + state.share_done() if running else 0, None
    eta = (time.time() - state.time_start) * (1 / done - 1) if running else 0
    if running and not skip_current_image:
        state.set_current_image()
        picture = encode_pil_to_base64(state.current_image) if state.current_image is not None else None
    told = {"progress": min(done, 1), "eta_relative": eta, "state": state.dict(), "current_image": picture}
    return {**told, "textinfo": state.textinfo}


def set_options(values: dict[str, Any] = Body(...)):  # noqa: B008
    if values.get("sd_model_checkpoint") is not None:
        sd_models.checkpoint_named(values["sd_model_checkpoint"])
    for key, value in values.items():
        opts.set(key, value, is_api=True)
    opts.save()


def models():
    names = "title", "model_name", "hash", "filename"
    return [{name: getattr(one, name) for name in names} for one in sd_models.checkpoints_list.values()]
