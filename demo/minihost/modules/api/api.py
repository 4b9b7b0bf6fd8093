"""/sdapi/v1: the routes that an extension and its users meet."""
import base64
import io
import secrets
import time
from typing import Any, Optional

import gradio as gr
from fastapi import Body, Depends, FastAPI, HTTPException, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from modules import (
    errors,
    images,
    infotext_utils,
    processing,
    progress,
    script_callbacks,
    scripts,
    sd_models,
    sd_samplers,
    sd_schedulers,
    sd_vae,
    shared,
)
from modules.call_queue import queue_lock
from modules.shared import opts, state
from pydantic import create_model

# What a request may say besides the arguments of the processing class.
ASIDE = {"script_name": (str, None), "script_args": (list, []), "alwayson_scripts": (dict, {}), "send_images": (bool, True),
         "save_images": (bool, False), "force_task_id": (str, None), "include_init_images": (bool, False),
         "sampler_index": (str, "Euler")}


def decode_base64_to_image(encoding):
    """base64 or a data URL."""
    try:
        return images.read(io.BytesIO(base64.b64decode(encoding.split(",")[-1])))
    except Exception as error:
        raise HTTPException(status_code=500, detail="Invalid encoded image") from error


def encode_pil_to_base64(image):
    """base64 as bytes, in the format of the setting "samples_format"; a text is handed through."""
    if isinstance(image, str):
        return image
    images.encode(image, buffer := io.BytesIO(), opts.samples_format.lower())
    return base64.b64encode(buffer.getvalue())


def answer_errors(app: FastAPI):
    """An exception is answered with its own `status_code`, `detail` and `body`, where it has them."""
    async def answered(request: Request, error: Exception):
        own = vars(error)
        if not isinstance(error, HTTPException):
            errors.report(f"{request.method} {request.url}: {type(error).__name__}: {error}")
        told = {"error": type(error).__name__, "detail": own.get("detail", ""), "body": own.get("body", ""), "errors": str(error)}
        return JSONResponse(jsonable_encoder(told), status_code=own.get("status_code", 500))

    async def caught(request: Request, call_next):
        try:
            return await call_next(request)
        except Exception as error:
            return await answered(request, error)

    app.middleware("http")(caught)
    for kind in (Exception, HTTPException):
        app.add_exception_handler(kind, answered)


def request_model(name, kind):
    """The pydantic model of requests for `kind` of processing; every field may be null."""
    fields = {field: (Optional[type_], default) for field, (type_, default) in {**kind.ARGUMENTS, **ASIDE}.items()}  # noqa: UP045
    return create_model(name, **fields)


TextRequest = request_model("TextRequest", processing.StableDiffusionProcessingTxt2Img)
ImageRequest = request_model("ImageRequest", processing.StableDiffusionProcessingImg2Img)


def script_named(name, among):
    found = next((script for script in among if script.title().lower() == str(name).lower()), None)
    if found is None:
        raise HTTPException(status_code=422, detail=f"Script '{name}' not found")
    return found


def default_arguments(runner):
    """What the components of all scripts hold before anybody touches them; the first place is the selected script."""
    values = [0] + [None] * (len(runner.inputs) - 1)
    with gr.Blocks():
        for script in runner.scripts:
            made = script.ui(script.is_img2img) or ()
            values[script.args_from:script.args_from + len(made)] = [component.value for component in made]
    return values


def arguments_of(request, runner, defaults):
    """The scripts' arguments: short lists are filled up with defaults, long ones cut."""
    values = list(defaults)
    if request.script_name:
        selected = script_named(request.script_name, runner.selectable_scripts)
        values[0] = 1 + runner.selectable_scripts.index(selected)
        values[selected.args_from:selected.args_to] = request.script_args
    for name, wanted in (request.alwayson_scripts or {}).items():
        script = script_named(name, runner.scripts)
        if not script.alwayson:
            raise HTTPException(status_code=422, detail="Cannot have a selectable script in the always on scripts params")
        given = list(wanted.get("args", ()))[:script.args_to - script.args_from]
        values[script.args_from:script.args_from + len(given)] = given
    return values


class Api:
    def __init__(self, app: FastAPI):
        answer_errors(app)
        self.default_script_arg_txt2img = default_arguments(scripts.scripts_txt2img)
        self.default_script_arg_img2img = default_arguments(scripts.scripts_img2img)
        pairs = shared.cmd_opts.api_auth.split(",") if shared.cmd_opts.api_auth else []
        self.users = dict(pair.split(":", 1) for pair in pairs)
        guards = [Depends(self.guard)] if self.users else []
        for method, path in (("POST", "txt2img img2img png-info interrupt skip options refresh-checkpoints refresh-vae"),
                             ("GET", "progress options samplers schedulers sd-models scripts script-info")):
            for name in path.split():
                endpoint = getattr(self, f"{method}_{name.replace('-', '_')}".lower())
                app.add_api_route(f"/sdapi/v1/{name}", endpoint, methods=[method], dependencies=guards)

    def guard(self, given: HTTPBasicCredentials = Depends(HTTPBasic())):              # noqa: B008
        wanted = self.users.get(given.username)
        if wanted is None or not secrets.compare_digest(wanted.encode(), given.password.encode()):
            raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Basic"})

    # ---- generations

    def post_txt2img(self, request: TextRequest):
        return self._generate("txt2img", processing.StableDiffusionProcessingTxt2Img, request)

    def post_img2img(self, request: ImageRequest):
        if request.init_images is None:
            raise HTTPException(status_code=404, detail="Init image not found")
        mask = decode_base64_to_image(request.mask) if request.mask else None
        answer = self._generate("img2img", processing.StableDiffusionProcessingImg2Img, request, mask=mask)
        if not request.include_init_images:
            answer["parameters"].update(init_images=None, mask=None)
        return answer

    def _generate(self, tab, kind, request, **more):
        runner, unsaved = getattr(scripts, f"scripts_{tab}"), not request.save_images
        sampler, scheduler = sd_samplers.get_sampler_and_scheduler(request.sampler_name or request.sampler_index, request.scheduler)
        arguments = arguments_of(request, runner, getattr(self, f"default_script_arg_{tab}"))
        given = {**{name: getattr(request, name) for name in kind.ARGUMENTS}, **more, "sampler_name": sampler,
                 "scheduler": request.scheduler or (scheduler if scheduler != "Automatic" else None), "do_not_save_samples": unsaved, "do_not_save_grid": unsaved}
        if tab == "img2img":
            given["init_images"] = [decode_base64_to_image(picture) for picture in request.init_images]
        task = request.force_task_id or progress.create_task_id(tab)
        progress.add_task_to_queue(task)
        with queue_lock:
            p = kind(outpath_samples=getattr(opts, f"outdir_{tab}_samples"), outpath_grids=getattr(opts, f"outdir_{tab}_grids"),
                     **given)
            p.is_api, p.scripts = True, runner
            state.begin(f"scripts_{tab}")
            progress.start_task(task)
            try:
                p.script_args = arguments
                processed = runner.run(p, *arguments) if request.script_name else processing.process_images(p)
            finally:
                progress.finish_task(task)
                state.end()
                p.close()
        sent = [encode_pil_to_base64(image) for image in processed.images] if request.send_images else []
        return {"images": sent, "parameters": jsonable_encoder(dict(request)), "info": processed.js()}

    def post_png_info(self, image: str = Body(..., embed=True)):
        infotext, others = images.read_info_from_image(decode_base64_to_image(image))
        values = infotext_utils.parse_generation_parameters(infotext or "")
        script_callbacks.infotext_pasted_callback(infotext or "", values)
        return {"info": infotext or "", "items": others, "parameters": values}

    # ---- the running job, settings and lists

    def get_progress(self, skip_current_image: bool = False):
        running = state.job_count != 0
        done, picture = 0.01 + state.share_done() if running else 0, None
        eta = (time.time() - state.time_start) * (1 / done - 1) if running else 0
        if running and not skip_current_image:
            state.set_current_image()
            picture = encode_pil_to_base64(state.current_image) if state.current_image is not None else None
        return {"progress": min(done, 1), "eta_relative": eta, "state": state.dict(), "current_image": picture,
                "textinfo": state.textinfo}

    def post_interrupt(self):
        state.interrupt()
        return {}

    def post_skip(self):
        state.skip()

    def get_options(self):
        return {key: getattr(opts, key) for key in opts.data_labels}

    def post_options(self, values: dict[str, Any] = Body(...)):                      # noqa: B008
        checkpoint = values.get("sd_model_checkpoint")
        if checkpoint is not None and checkpoint not in sd_models.checkpoint_aliases:
            raise RuntimeError(f"model {checkpoint!r} not found")
        for key, value in values.items():
            opts.set(key, value, is_api=True)
        opts.save()

    def get_samplers(self):
        return [{"name": one.name, "aliases": one.aliases, "options": {key: str(value) for key, value in one.options.items()}}
                for one in sd_samplers.all_samplers]

    def get_schedulers(self):
        return [{key: value for key, value in one._asdict().items() if key != "function"} for one in sd_schedulers.schedulers]

    def get_sd_models(self):
        told = {"title": "title", "model_name": "model_name", "hash": "shorthash", "sha256": "sha256", "filename": "filename"}
        return [{key: getattr(info, name) for key, name in told.items()} for info in sd_models.checkpoints_list.values()]

    def post_refresh_checkpoints(self):
        sd_models.list_models()

    def post_refresh_vae(self):
        sd_vae.refresh_vae_list()

    def get_scripts(self):
        return {tab: [script.name for script in getattr(scripts, f"scripts_{tab}").scripts] for tab in ("txt2img", "img2img")}

    def get_script_info(self):
        return [script.api_info for runner in (scripts.scripts_txt2img, scripts.scripts_img2img) for script in runner.scripts
                if script.api_info]
