"""Events that extensions subscribe to: `on_EVENT(callback)`, raised by `EVENT_callback(...)`.

A subscriber that raises is reported, and the others and the generation go on.
"""
import functools
import sys
from types import SimpleNamespace

from modules import errors

EVENTS = ["app_started", "model_loaded", "ui_tabs", "ui_settings", "before_image_saved", "image_saved", "extra_noise", "cfg_denoiser", "cfg_denoised", "cfg_after_cfg", "before_component", "after_component", "image_grid", "infotext_pasted", "script_unloaded", "before_ui", "list_unets"]
callback_map = {f"callbacks_{event}": [] for event in EVENTS}


def _subscribe(event, callback, *, name=None):
    file = sys._getframe(1).f_code.co_filename
    callback_map[f"callbacks_{event}"].append(SimpleNamespace(callback=callback, script=file, name=name or event))


def _raise(event, *args, **kwargs):
    """What the subscribers return."""
    answers = []
    for subscriber in list(callback_map[f"callbacks_{event}"]):
        try:
            answers.append(subscriber.callback(*args, **kwargs))
        except Exception:
            errors.report(f"{subscriber.script}: the callback for {event} failed", exc_info=True)
    return answers


for _event in EVENTS:
    globals()[f"on_{_event}"] = functools.partial(_subscribe, _event)
    globals()[f"{_event}_callback"] = functools.partial(_raise, _event)


def clear_callbacks():
    for subscribers in callback_map.values():
        subscribers.clear()
