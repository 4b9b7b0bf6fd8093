"""Events that extensions subscribe to with `on_...`; an exception in a subscriber is reported and the rest goes on.

The public functions of one event (`on_x`, `x_callback`) are alike, so each is one line over `_call` or `_subscribe`.
"""
from __future__ import annotations

import dataclasses
import inspect
import os
from typing import Any, Optional

from fastapi import FastAPI
from gradio import Blocks
from modules import errors


class ImageSaveParams:
    def __init__(self, image, p, filename, pnginfo):
        self.image, self.p, self.filename, self.pnginfo = image, p, filename, pnginfo


class ExtraNoiseParams:
    def __init__(self, noise, x, xi):
        self.noise, self.x, self.xi = noise, x, xi


class CFGDenoiserParams:
    def __init__(self, x, image_cond, sigma, sampling_step, total_sampling_steps, text_cond, text_uncond, denoiser=None):
        self.x, self.image_cond, self.sigma = x, image_cond, sigma
        self.sampling_step, self.total_sampling_steps = sampling_step, total_sampling_steps
        self.text_cond, self.text_uncond, self.denoiser = text_cond, text_uncond, denoiser


class CFGDenoisedParams:
    def __init__(self, x, sampling_step, total_sampling_steps, inner_model):
        self.x, self.sampling_step, self.total_sampling_steps, self.inner_model = x, sampling_step, total_sampling_steps, inner_model


class AfterCFGCallbackParams:
    def __init__(self, x, sampling_step, total_sampling_steps):
        self.x, self.sampling_step, self.total_sampling_steps = x, sampling_step, total_sampling_steps


class ImageGridLoopParams:
    def __init__(self, imgs, cols, rows):
        self.imgs, self.cols, self.rows = imgs, cols, rows


@dataclasses.dataclass
class ScriptCallback:
    script: str
    callback: Any
    name: str = "unnamed"


_EVENTS = """app_started model_loaded ui_tabs ui_settings before_image_saved image_saved extra_noise cfg_denoiser cfg_denoised
cfg_after_cfg before_component after_component image_grid infotext_pasted script_unloaded before_ui on_reload list_unets"""
_LAST_FIRST = {"script_unloaded", "before_ui"}          # the newest subscriber is called first
callback_map = {f"callbacks_{event}": [] for event in _EVENTS.split()}


def _caller():
    """The file that called into this one."""
    return next((frame.filename for frame in inspect.stack() if frame.filename != __file__), "unknown file")


def add_callback(callbacks, fun, *, name=None, category='unknown', filename=None):
    script = filename or _caller()
    callbacks.append(ScriptCallback(script, fun, "/".join(filter(None, (os.path.basename(script), category, name)))))


def _subscribe(event, callback, name):
    add_callback(callback_map[f"callbacks_{event}"], callback, name=name, category=event)


def ordered_callbacks(category, unordered_callbacks=None, *, enable_user_sort=True):
    return list(callback_map.get(f"callbacks_{category}", []) if unordered_callbacks is None else unordered_callbacks)


def clear_callbacks():
    for callbacks in callback_map.values():
        callbacks.clear()


def _call(category, *args, **kwargs):
    """What all subscribers of the event return; one that raises has no entry."""
    subscribers, results = ordered_callbacks(category), []
    for subscriber in subscribers[::-1] if category in _LAST_FIRST else subscribers:
        try:
            results.append(subscriber.callback(*args, **kwargs))
        except Exception:
            errors.report(f"callback {category} of {subscriber.script} failed", exc_info=True)
    return results


def app_started_callback(demo: Optional[Blocks], app: FastAPI):        # noqa: UP045
    _call("app_started", demo, app)


def app_reload_callback():
    _call("on_reload")


def model_loaded_callback(sd_model):
    _call("model_loaded", sd_model)


def ui_tabs_callback():
    return [tab for tabs in _call("ui_tabs") for tab in tabs or []]


def ui_settings_callback():
    _call("ui_settings")


def before_image_saved_callback(params: ImageSaveParams):
    _call("before_image_saved", params)


def image_saved_callback(params: ImageSaveParams):
    _call("image_saved", params)


def extra_noise_callback(params: ExtraNoiseParams):
    _call("extra_noise", params)


def cfg_denoiser_callback(params: CFGDenoiserParams):
    _call("cfg_denoiser", params)


def cfg_denoised_callback(params: CFGDenoisedParams):
    _call("cfg_denoised", params)


def cfg_after_cfg_callback(params: AfterCFGCallbackParams):
    _call("cfg_after_cfg", params)


def before_component_callback(component, **kwargs):
    _call("before_component", component, **kwargs)


def after_component_callback(component, **kwargs):
    _call("after_component", component, **kwargs)


def image_grid_callback(params: ImageGridLoopParams):
    _call("image_grid", params)


def infotext_pasted_callback(infotext: str, params: dict[str, Any]):
    _call("infotext_pasted", infotext, params)


def script_unloaded_callback():
    _call("script_unloaded")


def before_ui_callback():
    _call("before_ui")


def list_unets_callback():
    options = []
    _call("list_unets", options)
    return options


def _remove(unwanted):
    for callbacks in callback_map.values():
        callbacks[:] = [subscriber for subscriber in callbacks if not unwanted(subscriber)]


def remove_current_script_callbacks():
    script = _caller()
    _remove(lambda subscriber: subscriber.script == script)


def remove_callbacks_for_function(callback_func):
    _remove(lambda subscriber: subscriber.callback == callback_func)


def on_app_started(callback, *, name=None):
    _subscribe("app_started", callback, name)


def on_before_reload(callback, *, name=None):
    _subscribe("on_reload", callback, name)


def on_model_loaded(callback, *, name=None):
    _subscribe("model_loaded", callback, name)


def on_ui_tabs(callback, *, name=None):
    _subscribe("ui_tabs", callback, name)


def on_ui_settings(callback, *, name=None):
    _subscribe("ui_settings", callback, name)


def on_before_image_saved(callback, *, name=None):
    _subscribe("before_image_saved", callback, name)


def on_image_saved(callback, *, name=None):
    _subscribe("image_saved", callback, name)


def on_extra_noise(callback, *, name=None):
    _subscribe("extra_noise", callback, name)


def on_cfg_denoiser(callback, *, name=None):
    _subscribe("cfg_denoiser", callback, name)


def on_cfg_denoised(callback, *, name=None):
    _subscribe("cfg_denoised", callback, name)


def on_cfg_after_cfg(callback, *, name=None):
    _subscribe("cfg_after_cfg", callback, name)


def on_before_component(callback, *, name=None):
    _subscribe("before_component", callback, name)


def on_after_component(callback, *, name=None):
    _subscribe("after_component", callback, name)


def on_image_grid(callback, *, name=None):
    _subscribe("image_grid", callback, name)


def on_infotext_pasted(callback, *, name=None):
    _subscribe("infotext_pasted", callback, name)


def on_script_unloaded(callback, *, name=None):
    _subscribe("script_unloaded", callback, name)


def on_before_ui(callback, *, name=None):
    _subscribe("before_ui", callback, name)


def on_list_unets(callback, *, name=None):
    _subscribe("list_unets", callback, name)
