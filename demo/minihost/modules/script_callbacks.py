"""Events that extensions subscribe to: `on_EVENT(callback)`, raised by `EVENT_callback(...)`.

A subscriber that raises is reported, and the others and the generation go on.
"""

import functools

from modules import errors

EVENTS = (
    "app_started ui_tabs ui_settings cfg_denoiser cfg_denoised cfg_after_cfg before_component "
    "after_component image_grid infotext_pasted before_ui"
).split()
_subscribers = {event: [] for event in EVENTS}


def _subscribe(event, callback, *, name=None):
    _subscribers[event].append(callback)


def _raise(event, *args, **kwargs):
    for callback in list(_subscribers[event]):
        try:
            callback(*args, **kwargs)
        except Exception:
            errors.report(f"a callback for {event} failed", exc_info=True)


for _event in EVENTS:
    globals()[f"on_{_event}"] = functools.partial(_subscribe, _event)
    globals()[f"{_event}_callback"] = functools.partial(_raise, _event)
