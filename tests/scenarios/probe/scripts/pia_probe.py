"""A WebUI extension for tests: says what an extension can see of a generation, and makes chosen points fail.

    "alwayson_scripts": {"PIA probe": {"args": [{"record": true, "fault": {...}, "neighbours": [...], "lend": {...}}]}}

switches it on for that request alone (see pia_probe.run.Run); GET /pia-probe/record gives what was recorded. It guards
nothing: install it only in a WebUI that nobody else can reach.
"""

import gradio as gr
from modules import script_callbacks, scripts
from pia_probe import routes, run

TITLE = "PIA probe"


def hook(name):
    def called(self, p, *args, **kwargs):
        if bound := run.run_of(p):
            bound.hook(name, p, args, kwargs)

    called.__name__ = name
    return called


class PIAProbe(scripts.Script):
    def title(self):
        return TITLE

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Textbox(value="", visible=False, label="Request")]

    def setup(self, p, *args):
        if args and isinstance(args[0], dict):
            run.begin(p, args[0])
            hook("setup")(self, p)


for _name in run.HOOKS[1:]:
    setattr(PIAProbe, _name, hook(_name))

script_callbacks.on_cfg_denoiser(lambda params: run.callback("cfg_denoiser", params))
script_callbacks.on_cfg_denoised(lambda params: run.callback("cfg_denoised", params))
script_callbacks.on_app_started(routes.add)
