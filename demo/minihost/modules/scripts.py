"""Scripts of extensions: found, loaded, shown in the two tabs, and called at their hooks.

An exception in a hook is reported, and the generation goes on without that script.
"""
from __future__ import annotations

import importlib.machinery
import importlib.util
import inspect
import json
import os
import re
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from modules import _flags, errors, script_callbacks, shared
from modules.paths import script_path

ScriptFile = namedtuple("ScriptFile", "basedir filename path")
AlwaysVisible = object()
# Hooks that are given `p`, what the host adds, and the values of the script's components.
HOOKS = """before_process process before_process_batch after_extra_networks_activate process_batch
process_before_every_sampling on_mask_blend post_sample postprocess_batch postprocess_batch_list postprocess_image
postprocess_maskoverlay postprocess_image_after_composite postprocess before_hr""".split()
_loading = script_path          # the extension whose script is being loaded


class Script:
    name = section = filename = args_from = args_to = group = tabname = controls = api_info = None
    infotext_fields = paste_field_names = None
    alwayson = is_img2img = is_txt2img = setup_for_ui_only = False
    create_group = True

    def title(self):
        raise NotImplementedError(f"{type(self).__name__} has no title")

    def show(self, is_img2img):
        """AlwaysVisible, or whether it can be selected in this tab."""
        return True

    def ui(self, is_img2img):
        """The script's components; their values are the last arguments of the hooks."""

    def describe(self):
        return ""

    def elem_id(self, item_id):
        """The same in both tabs only for a script that is not in both."""
        words = re.sub(r"\s", "_", self.title().lower())
        tab = f"{self.tabname}_" if self.show(True) == self.show(False) else ""
        return f"script_{tab}{re.sub('[^a-z_0-9]', '', words)}_{item_id}"

    def on_before_component(self, callback, *, elem_id):
        self._awaited("before", elem_id, callback)

    def on_after_component(self, callback, *, elem_id):
        self._awaited("after", elem_id, callback)

    def _awaited(self, when, elem_id, callback):
        vars(self).setdefault(f"on_{when}_component_elem_id", []).append((elem_id, callback))


def _does_nothing(self, *args, **kwargs):
    """A hook that a script leaves out."""


for _name in ("run", "setup", "before_component", "after_component", *HOOKS):
    setattr(Script, _name, _does_nothing)


def basedir():
    """The folder of the extension that is being loaded."""
    return _loading


def list_scripts(scriptdirname, extension, *, include_extensions=True):
    """Files of one suffix in a folder of the host's and of every extension."""
    folders = [script_path, *(_flags.extension_folders(shared.cmd_opts) if include_extensions else ())]
    return [ScriptFile(base, file.name, str(file)) for base in folders
            for file in sorted(Path(base, scriptdirname).glob(f"*{extension}")) if file.is_file()]


def load_module(path):
    name = os.path.basename(path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(
        name, importlib.machinery.SourceFileLoader(name, path)))
    module.__spec__.loader.exec_module(module)
    return module


def load_scripts():
    """Runs every scripts/*.py, with its extension's folder on sys.path meanwhile; makes the runners of both tabs."""
    global _loading, scripts_txt2img, scripts_img2img
    from modules import _host_scripts

    script_callbacks.clear_callbacks()
    classes = []
    for file in list_scripts("scripts", ".py"):
        sys.path.insert(0, file.basedir)
        _loading = file.basedir
        try:
            found = vars(load_module(file.path)).values()
            classes += [(one, file.path) for one in found if inspect.isclass(one) and issubclass(one, Script)]
        except Exception:
            errors.report(f"{file.path} could not be loaded", exc_info=True)
        finally:
            sys.path.remove(file.basedir)
            _loading = script_path
    classes += [(one, _host_scripts.__file__) for one in (_host_scripts.Sampling, _host_scripts.Seed)]
    scripts_txt2img, scripts_img2img = ScriptRunner(classes), ScriptRunner(classes)


def offer_blend(p, args):
    """The blended latent of `args` after the scripts' `on_mask_blend`."""
    if p.scripts is not None:
        p.scripts.on_mask_blend(p, args)
    return args.blended_latent


def _saved_values():
    """ui-config.json, of which only values of scripts' components are read."""
    file = Path(shared.cmd_opts.ui_config_file)
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


class ScriptRunner:
    """The scripts of one tab. `inputs` are the components of them all; the first is the choice of a selectable one."""

    def __init__(self, classes):
        self.classes = classes
        self.scripts, self.alwayson_scripts, self.selectable_scripts = [], [], []
        self.infotext_fields, self.paste_field_names, self.inputs, self.titles = [], [], [None], []

    def initialize_scripts(self, is_img2img):
        """New instances, before the components are made."""
        tab = "img2img" if is_img2img else "txt2img"
        for made in (self.scripts, self.alwayson_scripts, self.selectable_scripts, self.infotext_fields,
                     self.paste_field_names):
            made.clear()
        for kind, file in self.classes:
            try:
                script = kind()
                vars(script).update(filename=file, tabname=tab, is_img2img=is_img2img, is_txt2img=not is_img2img)
                shown = script.show(is_img2img)
            except Exception:
                errors.report(f"{kind.__name__} of {file} could not be made", exc_info=True)
                continue
            if shown:
                script.alwayson = shown is AlwaysVisible
                self.scripts.append(script)
                (self.alwayson_scripts if script.alwayson else self.selectable_scripts).append(script)

    # ---- the components

    def prepare_ui(self):
        self.inputs = [None]

    def setup_ui_for_section(self, section, scriptlist=None):
        for script in self.alwayson_scripts if scriptlist is None else scriptlist:
            if scriptlist is None and script.section != section:
                continue
            script.args_from = script.args_to = len(self.inputs)
            try:
                if script.create_group:
                    with gr.Group(visible=script.alwayson) as script.group:
                        self._add(script, script.ui(script.is_img2img))
                else:
                    self._add(script, script.ui(script.is_img2img))
            except Exception:
                errors.report(f"{script.filename}: its components could not be made", exc_info=True)

    def setup_ui(self):
        """The components of scripts without a section, and of those that can be selected. Gives `inputs`."""
        self.setup_ui_for_section(None)
        self.titles = [script.title() for script in self.selectable_scripts]
        choice = self.inputs[0] = gr.Dropdown(["None", *self.titles], value="None", type="index", label="Script",
                                              elem_id="script_list")
        self.setup_ui_for_section(None, self.selectable_scripts)
        groups = [script.group for script in self.selectable_scripts]
        choice.change(lambda number: [gr.update(visible=place == number) for place in range(1, len(groups) + 1)],
                      inputs=[choice], outputs=groups)
        return self.inputs

    def _add(self, script, components):
        if components is None:
            return
        script.name, script.controls = script.title().lower(), components
        saved, file = _saved_values(), os.path.basename(script.filename)
        for component in components:
            component.custom_script_source = file
            component.value = saved.get(f"customscript/{file}/{script.tabname}/{component.label}/value", component.value)
        self.inputs += components
        script.args_to = len(self.inputs)
        script.api_info = {"name": script.name, "is_alwayson": script.alwayson, "is_img2img": script.is_img2img,
                           "args": [self._described(component) for component in components]}
        self.infotext_fields += script.infotext_fields or []
        self.paste_field_names += script.paste_field_names or []

    @staticmethod
    def _described(component):
        known = {key: getattr(component, key, None) for key in ("value", "minimum", "maximum", "step")}
        choices = getattr(component, "choices", None)
        names = None if choices is None else [str(one[0] if isinstance(one, tuple) else one) for one in choices]
        return {"label": component.label or "", **known, "choices": names}

    def before_component(self, component, **kwargs):
        self._component("before", component, kwargs)

    def after_component(self, component, **kwargs):
        self._component("after", component, kwargs)

    def _component(self, when, component, kwargs):
        for script in self.scripts:
            awaited = [call for elem_id, call in getattr(script, f"on_{when}_component_elem_id", ())
                       if elem_id == kwargs.get("elem_id")]
            calls = [lambda call=call: call(SimpleNamespace(component=component)) for call in awaited]
            for call in (*calls, lambda: getattr(script, f"{when}_component")(component, **kwargs)):  # noqa: B023
                try:
                    call()
                except Exception:
                    errors.report(f"{script.filename}: {when}_component failed", exc_info=True)

    # ---- a generation

    def __getattr__(self, hook):
        if hook not in HOOKS:
            raise AttributeError(hook)
        return lambda p, *given, **named: self._call(hook, self.alwayson_scripts, p, given, named)

    def setup_scrips(self, p, *, is_ui=True):
        wanted = [script for script in self.alwayson_scripts if is_ui or not script.setup_for_ui_only]
        self._call("setup", wanted, p, (), {})

    @staticmethod
    def _call(hook, scripts, p, given, named):
        for script in list(scripts):
            if getattr(type(script), hook) is _does_nothing:
                continue
            try:
                getattr(script, hook)(p, *given, *p.script_args[script.args_from:script.args_to], **named)
            except Exception:
                errors.report(f"{script.filename}: {hook} failed", exc_info=True)

    def run(self, p, *args):
        """The result of the selected script; None without one. Its exceptions are the user's."""
        if not args or not args[0]:
            return None
        script = self.selectable_scripts[args[0] - 1]
        return script.run(p, *args[script.args_from:script.args_to])


scripts_txt2img: ScriptRunner = None
scripts_img2img: ScriptRunner = None
scripts_current: ScriptRunner = None        # of the tab whose components are being made
