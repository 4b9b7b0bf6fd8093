"""Scripts of extensions: loaded, shown in the two tabs, and called at their hooks.

An exception in a hook is reported, and the generation goes on without that script. Scripts that a user selects from a
list (whose `show` is not AlwaysVisible) are left out.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import json
import os
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from modules import errors
from modules.paths import cmd_opts, data_path, script_path

ScriptFile = namedtuple("ScriptFile", "basedir filename path")
AlwaysVisible = object()
# Those that are given `p`, what the host adds, and the values of the script's components.
HOOKS = """setup before_process process before_process_batch after_extra_networks_activate process_batch post_sample
    process_before_every_sampling on_mask_blend postprocess_batch postprocess_batch_list postprocess_image
    postprocess_maskoverlay postprocess_image_after_composite postprocess before_hr""".split()


class Script:
    filename = name = api_info = tabname = is_img2img = is_txt2img = args_from = args_to = None
    infotext_fields = paste_field_names = ()

    def title(self):
        raise NotImplementedError(f"{type(self).__name__} has no title")

    def show(self, is_img2img):
        """AlwaysVisible, or whether it can be selected in this tab."""
        return True

    def ui(self, is_img2img):
        """The script's components; their values are the last arguments of the hooks."""


def _does_nothing(self, *args, **kwargs):
    """A hook that a script leaves out."""


for _name in ("before_component", "after_component", *HOOKS):
    setattr(Script, _name, _does_nothing)


def list_scripts(scriptdirname, extension):
    """Files of one suffix in a folder of the host's and of every extension."""
    folders = [script_path, *cmd_opts.extensions]
    files = [(base, file) for base in folders for file in sorted(Path(base, scriptdirname).glob(f"*{extension}"))]
    return [ScriptFile(base, file.name, str(file)) for base, file in files]


scripts_data = []  # every script file that was loaded, with its `module`


def load_scripts():
    """Runs every scripts/*.py, with its extension's folder on sys.path meanwhile; makes the runners of both tabs."""
    global scripts_txt2img, scripts_img2img
    classes = []
    for file in list_scripts("scripts", ".py"):
        sys.path.insert(0, file.basedir)
        spec = importlib.util.spec_from_file_location(file.filename, file.path)
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            scripts_data.append(SimpleNamespace(module=module, path=file.path))
            found = filter(inspect.isclass, vars(module).values())
            classes += [(one, file.path) for one in found if issubclass(one, Script)]
        except Exception:
            errors.report(f"{file.path} could not be loaded", exc_info=True)
        finally:
            sys.path.remove(file.basedir)
    scripts_txt2img, scripts_img2img = ScriptRunner("txt2img", classes), ScriptRunner("img2img", classes)


def blended(p, latent, mask, nmask, init_latent, **more):
    """`latent` where the mask says new, the picture's latent elsewhere; after the scripts' `on_mask_blend`."""
    args = SimpleNamespace(current_latent=latent, mask=mask, nmask=nmask, init_latent=init_latent, **more)
    args.blended_latent, args.is_final_blend = init_latent * mask + latent * nmask, args.denoiser is None
    p.tell("on_mask_blend", args)
    return args.blended_latent


class ScriptRunner:
    """The always-on scripts of one tab. `inputs` are the components of them all, after the choice of a script;
    `defaults` their values for the API, to which ui-config.json does not apply."""

    def __init__(self, tab, classes):
        self.tab, self.classes = tab, classes

    def initialize_scripts(self):
        """New instances, before the components are made."""
        self.alwayson_scripts, self.inputs, self.defaults, self.infotext_fields = [], [None], [0], []
        is_image = self.tab == "img2img"
        for kind, file in self.classes:
            script = kind()
            vars(script).update(filename=file, tabname=self.tab, is_img2img=is_image, is_txt2img=not is_image)
            if script.show(is_image) is AlwaysVisible:
                self.alwayson_scripts.append(script)

    def setup_ui(self):
        """Makes the components. Gives `inputs`."""
        for script in self.alwayson_scripts:
            script.args_from = script.args_to = len(self.inputs)
            try:
                with gr.Group():
                    self._add(script, script.ui(script.is_img2img))
            except Exception:
                errors.report(f"{script.filename}: its components could not be made", exc_info=True)
        self.inputs[0] = gr.Dropdown(["None"], value="None", type="index", label="Script", elem_id="script_list")
        return self.inputs

    def _add(self, script, components):
        if components is None:
            return
        saved, file = Path(data_path, "ui-config.json"), os.path.basename(script.filename)
        saved = json.loads(saved.read_text("utf-8")) if saved.is_file() else {}  # only scripts' values are read
        self.defaults += [component.value for component in components]
        for component in components:
            key = f"customscript/{file}/{script.tabname}/{component.label}/value"
            component.value = saved.get(key, component.value)
        self.inputs += components
        script.args_to, script.name = len(self.inputs), script.title().lower()
        args = [_described(component) for component in components]
        script.api_info = {"name": script.name, "is_alwayson": True, "is_img2img": script.is_img2img, "args": args}
        self.infotext_fields += script.infotext_fields or []

    def tell(self, hook, component, kwargs):
        """A component of the tab is about to be made ("before_component") or was made ("after_component")."""
        for script in self.alwayson_scripts:
            try:
                getattr(script, hook)(component, **kwargs)
            except Exception:
                errors.report(f"{script.filename}: {hook} failed", exc_info=True)

    def __getattr__(self, hook):
        """`runner.HOOK(p, ...)` calls the hook of every script."""
        if hook not in HOOKS:
            raise AttributeError(hook)
        return functools.partial(self._call, hook)

    def _call(self, hook, p, *given, **named):
        for script in list(self.alwayson_scripts):
            if getattr(type(script), hook) is _does_nothing:
                continue
            try:
                getattr(script, hook)(p, *given, *p.script_args[script.args_from : script.args_to], **named)
            except Exception:
                errors.report(f"{script.filename}: {hook} failed", exc_info=True)


def _described(component):
    """What /sdapi/v1/script-info says of a component."""
    numbers = {key: getattr(component, key, None) for key in ("value", "minimum", "maximum", "step")}
    choices = [one[0] if isinstance(one, tuple) else one for one in getattr(component, "choices", None) or ()]
    return {"label": component.label or "", **numbers, "choices": list(map(str, choices)) or None}


scripts_txt2img = scripts_img2img = None  # the runners of the tabs
scripts_current = None  # that of the tab whose components are being made
