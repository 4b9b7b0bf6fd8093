"""/sdapi/v1: the routes that an extension and its users meet."""
import time
from contextlib import closing
from secrets import compare_digest
from threading import Lock
from typing import Any

import gradio as gr
import uvicorn
from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from modules import (
    images,
    infotext_utils,
    progress,
    script_callbacks,
    scripts,
    sd_models,
    sd_samplers,
    sd_schedulers,
    sd_vae,
    shared,
)
from modules._api_pictures import api_middleware, decode_base64_to_image, encode_pil_to_base64
from modules.api import models
from modules.processing import StableDiffusionProcessingImg2Img, StableDiffusionProcessingTxt2Img, process_images
from modules.sd_models_config import find_checkpoint_config_near_filename
from modules.shared import opts


def script_name_to_index(name, scripts):
    titles = [script.title().lower() for script in scripts]
    if not isinstance(name, str) or name.lower() not in titles:
        raise HTTPException(status_code=422, detail=f"Script '{name}' not found")
    return titles.index(name.lower())


def validate_sampler_name(name):
    if name not in sd_samplers.all_samplers_map:
        raise HTTPException(detail="Sampler not found", status_code=400)
    return name


class Api:
    def __init__(self, app: FastAPI, queue_lock: Lock):
        self.credentials = dict(user.split(":") for user in shared.cmd_opts.api_auth.split(",")) if shared.cmd_opts.api_auth else {}
        self.router, self.app, self.queue_lock = APIRouter(), app, queue_lock
        api_middleware(app)
        post, get = {"methods": ["POST"]}, {"methods": ["GET"]}
        self.add_api_route("/sdapi/v1/txt2img", self.text2imgapi, response_model=models.TextToImageResponse, **post)
        self.add_api_route("/sdapi/v1/img2img", self.img2imgapi, response_model=models.ImageToImageResponse, **post)
        self.add_api_route("/sdapi/v1/png-info", self.pnginfoapi, response_model=models.PNGInfoResponse, **post)
        self.add_api_route("/sdapi/v1/progress", self.progressapi, response_model=models.ProgressResponse, **get)
        self.add_api_route("/sdapi/v1/interrupt", self.interruptapi, **post)
        self.add_api_route("/sdapi/v1/skip", self.skip, **post)
        self.add_api_route("/sdapi/v1/options", self.get_config, **get)
        self.add_api_route("/sdapi/v1/options", self.set_config, **post)
        self.add_api_route("/sdapi/v1/cmd-flags", self.get_cmd_flags, **get)
        self.add_api_route("/sdapi/v1/samplers", self.get_samplers, response_model=list[models.SamplerItem], **get)
        self.add_api_route("/sdapi/v1/schedulers", self.get_schedulers, response_model=list[models.SchedulerItem], **get)
        self.add_api_route("/sdapi/v1/sd-models", self.get_sd_models, response_model=list[models.SDModelItem], **get)
        self.add_api_route("/sdapi/v1/sd-vae", self.get_sd_vaes, response_model=list[models.SDVaeItem], **get)
        self.add_api_route("/sdapi/v1/refresh-checkpoints", self.refresh_checkpoints, **post)
        self.add_api_route("/sdapi/v1/refresh-vae", self.refresh_vae, **post)
        self.add_api_route("/sdapi/v1/scripts", self.get_scripts_list, response_model=models.ScriptsList, **get)
        self.add_api_route("/sdapi/v1/script-info", self.get_script_info, response_model=list[models.ScriptInfo], **get)
        self.default_script_arg_txt2img = self.init_default_script_args(scripts.scripts_txt2img)
        self.default_script_arg_img2img = self.init_default_script_args(scripts.scripts_img2img)

    def add_api_route(self, path: str, endpoint, **kwargs):
        if shared.cmd_opts.api_auth:
            kwargs["dependencies"] = [Depends(self.auth)]
        self.app.add_api_route(path, endpoint=endpoint, **kwargs)

    def auth(self, credentials: HTTPBasicCredentials = Depends(HTTPBasic())):      # noqa: B008
        known = self.credentials.get(credentials.username)
        if known is not None and compare_digest(credentials.password, known):
            return True
        raise HTTPException(detail="Incorrect username or password", status_code=401, headers={"WWW-Authenticate": "Basic"})

    def get_selectable_script(self, script_name, script_runner):
        if not script_name:
            return None, None
        index = script_name_to_index(script_name, script_runner.selectable_scripts)
        return script_runner.selectable_scripts[index], index

    def get_scripts_list(self):
        names = [[script.name for script in runner.scripts if script.name is not None]
                 for runner in (scripts.scripts_txt2img, scripts.scripts_img2img)]
        return models.ScriptsList(txt2img=names[0], img2img=names[1])

    def get_script_info(self):
        return [script.api_info for runner in (scripts.scripts_txt2img, scripts.scripts_img2img) for script in runner.scripts
                if script.api_info is not None]

    def get_script(self, script_name, script_runner):
        if not script_name:
            return None, None
        return script_runner.scripts[script_name_to_index(script_name, script_runner.scripts)]

    def init_default_script_args(self, script_runner):
        """The values that all components have before anybody touches them."""
        args = [0, *[None] * (max([1, *(script.args_to for script in script_runner.scripts)]) - 1)]
        with gr.Blocks():
            for script in script_runner.scripts:
                if script.ui(script.is_img2img):
                    args[script.args_from:script.args_to] = [control.value for control in script.ui(script.is_img2img)]
        return args

    def init_script_args(self, request, default_script_args, selectable_scripts, selectable_idx, script_runner, *, input_script_args=None):
        args = default_script_args.copy()
        for index, value in (input_script_args or {}).items():
            args[index] = value
        if selectable_scripts:
            args[selectable_scripts.args_from:selectable_scripts.args_to] = request.script_args
            args[0] = selectable_idx + 1
        for name, wanted in (request.alwayson_scripts or {}).items():
            script = self.get_script(name, script_runner)
            if not script.alwayson:
                raise HTTPException(detail="Cannot have a selectable script in the always on scripts params", status_code=422)
            given = list(wanted.get("args", ()))[:script.args_to - script.args_from]
            args[script.args_from:script.args_from + len(given)] = given
        return args

    def apply_infotext(self, request, tabname, *, script_runner=None, mentioned_script_args=None):
        """Fields that the request leaves open are taken from its `infotext`, and so are scripts' arguments."""
        if not request.infotext:
            return {}
        params = infotext_utils.parse_generation_parameters(x=request.infotext)
        given = request.dict(exclude_unset=True)
        index_of = {} if script_runner is None else {component: i for i, component in enumerate(script_runner.inputs)}
        for field in (infotext_utils.paste_fields.get(tabname) or {}).get("fields") or []:
            value = (field.function or (lambda values, label=field.label: values.get(label)))(params)
            if isinstance(value, dict) and value.get("__type__") == "generic_update":
                value = value.get("value")
            if value is None:
                continue
            kind = request.__fields__[field.api].type_ if field.api in request.__fields__ else type(field.component.value)
            if isinstance(kind, type) and kind is not type(None) and not isinstance(value, kind):
                value = kind(value)
            if field.api and field.api not in given:
                setattr(request, field.api, value)
            if field.component in index_of and mentioned_script_args is not None:
                mentioned_script_args[index_of[field.component]] = value
        request.override_settings = request.override_settings or {}
        for _, setting, value in infotext_utils.get_override_settings(params):
            request.override_settings.setdefault(setting, value)
        return params

    def _generate(self, request, tab, processing, runner, defaults, **extra):
        """(the Processed, whether to send its pictures)."""
        task_id = request.force_task_id or progress.create_task_id(tab)
        mentioned = {}
        self.apply_infotext(request, tab, script_runner=runner, mentioned_script_args=mentioned)
        selected, index = self.get_selectable_script(request.script_name, runner)
        sampler, scheduler = sd_samplers.get_sampler_and_scheduler(request.sampler_name or request.sampler_index, request.scheduler)
        args = dict(vars(request))
        args.update(sampler_name=validate_sampler_name(sampler), sampler_index=None, do_not_save_samples=not request.save_images,
                    do_not_save_grid=not request.save_images, **extra)
        if not args["scheduler"] and scheduler != "Automatic":
            args["scheduler"] = scheduler
        for key in ("script_name", "script_args", "alwayson_scripts", "infotext", "send_images", "save_images", "include_init_images"):
            args.pop(key, None)
        init_images = args.pop("init_images", None)
        script_args = self.init_script_args(request, defaults, selected, index, runner, input_script_args=mentioned)
        progress.add_task_to_queue(task_id)
        with self.queue_lock, closing(processing(sd_model=shared.sd_model, **args)) as p:
            if init_images is not None:
                p.init_images = [decode_base64_to_image(image) for image in init_images]
            p.is_api, p.scripts = True, runner
            p.outpath_grids = getattr(opts, f"outdir_{tab}_grids")
            p.outpath_samples = getattr(opts, f"outdir_{tab}_samples")
            try:
                shared.state.begin(job=f"scripts_{tab}")
                progress.start_task(task_id)
                p.script_args = script_args if selected is not None else tuple(script_args)
                processed = runner.run(p, *p.script_args) if selected is not None else process_images(p)
                progress.finish_task(task_id)
            finally:
                shared.state.end()
                shared.total_tqdm.clear()
        return processed, list(map(encode_pil_to_base64, processed.images)) if request.send_images else []

    def text2imgapi(self, txt2imgreq: models.StableDiffusionTxt2ImgProcessingAPI):
        processed, pictures = self._generate(txt2imgreq, "txt2img", StableDiffusionProcessingTxt2Img, scripts.scripts_txt2img,
                                             self.default_script_arg_txt2img)
        return models.TextToImageResponse(images=pictures, parameters=vars(txt2imgreq), info=processed.js())

    def img2imgapi(self, img2imgreq: models.StableDiffusionImg2ImgProcessingAPI):
        if img2imgreq.init_images is None:
            raise HTTPException(detail="Init image not found", status_code=404)
        mask = decode_base64_to_image(img2imgreq.mask) if img2imgreq.mask else img2imgreq.mask
        processed, pictures = self._generate(img2imgreq, "img2img", StableDiffusionProcessingImg2Img, scripts.scripts_img2img,
                                             self.default_script_arg_img2img, mask=mask)
        if not img2imgreq.include_init_images:
            img2imgreq.init_images = img2imgreq.mask = None
        return models.ImageToImageResponse(images=pictures, parameters=vars(img2imgreq), info=processed.js())

    def pnginfoapi(self, req: models.PNGInfoRequest):
        geninfo, items = images.read_info_from_image(decode_base64_to_image(req.image.strip()))
        params = infotext_utils.parse_generation_parameters(geninfo or "")
        script_callbacks.infotext_pasted_callback(geninfo or "", params)
        return models.PNGInfoResponse(info=geninfo or "", items=items, parameters=params)

    def progressapi(self, req: models.ProgressRequest = Depends()):        # noqa: B008
        state = shared.state
        if state.job_count == 0:
            return models.ProgressResponse(progress=0, eta_relative=0, state=state.dict(), textinfo=state.textinfo)
        done = 0.01
        if state.job_count > 0:
            done += (state.job_no + (state.sampling_step / state.sampling_steps if state.sampling_steps > 0 else 0)) / state.job_count
        elapsed = time.time() - state.time_start
        state.set_current_image()
        picture = encode_pil_to_base64(state.current_image) if state.current_image and not req.skip_current_image else None
        return models.ProgressResponse(progress=min(done, 1), eta_relative=elapsed / done - elapsed, state=state.dict(),
                                       current_image=picture, textinfo=state.textinfo)

    def interruptapi(self):
        shared.state.interrupt()
        return {}

    def skip(self):
        shared.state.skip()

    def get_config(self):
        return dict(opts.data)

    def set_config(self, req: dict[str, Any]):
        wanted = req.get("sd_model_checkpoint")
        if wanted is not None and wanted not in sd_models.checkpoint_aliases:
            raise RuntimeError(f"model {wanted!r} not found")
        for key, value in req.items():
            opts.set(key, value, is_api=True)
        opts.save(shared.config_filename)

    def get_cmd_flags(self):
        return vars(shared.cmd_opts)

    def get_samplers(self):
        return [{"name": data.name, "aliases": data.aliases, "options": data.options} for data in sd_samplers.all_samplers]

    def get_schedulers(self):
        return [{key: getattr(scheduler, key) for key in models.SchedulerItem.__fields__} for scheduler in sd_schedulers.schedulers]

    def get_sd_models(self):
        return [{"title": info.title, "model_name": info.model_name, "hash": info.shorthash, "sha256": info.sha256,
                 "filename": info.filename, "config": find_checkpoint_config_near_filename(info)}
                for info in sd_models.checkpoints_list.values()]

    def get_sd_vaes(self):
        return [{"model_name": name, "filename": path} for name, path in sd_vae.vae_dict.items()]

    def refresh_checkpoints(self):
        with self.queue_lock:
            shared.refresh_checkpoints()

    def refresh_vae(self):
        with self.queue_lock:
            sd_vae.refresh_vae_list()

    def launch(self, server_name, port, root_path):
        self.app.include_router(self.router)
        uvicorn.run(self.app, host=server_name, port=port, root_path=root_path, timeout_keep_alive=shared.cmd_opts.timeout_keep_alive)
