"""Scripts of extensions: loaded, shown in the two tabs, and called at their hooks.

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
import types
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from modules import _flags, errors, script_callbacks, shared
from modules.paths import data_path, script_path

ScriptFile = namedtuple("ScriptFile", "basedir filename path")
AlwaysVisible = object()
# Hooks that are given `p`, what the host adds, and the values of the script's components.
HOOKS = ["setup", "before_process", "process", "before_process_batch", "after_extra_networks_activate", "process_batch", "process_before_every_sampling", "on_mask_blend", "post_sample", "postprocess_batch", "postprocess_batch_list", "postprocess_image", "postprocess_maskoverlay", "postprocess_image_after_composite", "postprocess", "before_hr"]
_loading = script_path          # the extension whose script is being loaded


class Script:
    name = section = filename = args_from = args_to = group = tabname = api_info = None
    infotext_fields = paste_field_names = on_before_component_elem_id = on_after_component_elem_id = ()
    alwayson = is_img2img = is_txt2img = setup_for_ui_only = False
    create_group = True

    def title(self):
        raise NotImplementedError(f"{type(self).__name__} has no title")

    def show(self, is_img2img):
        """AlwaysVisible, or whether it can be selected in this tab."""
        return True

    def ui(self, is_img2img):
        """The script's components; their values are the last arguments of the hooks."""

    def elem_id(self, item_id):
        """With the tab's name where the script is shown in both alike."""
        words = re.sub("[^a-z_0-9]", "", re.sub(r"\s", "_", self.title().lower()))
        return f"script_{f'{self.tabname}_' if self.show(True) == self.show(False) else ''}{words}_{item_id}"

    def on_before_component(self, callback, *, elem_id):
        self.on_before_component_elem_id = [*self.on_before_component_elem_id, (elem_id, callback)]

    def on_after_component(self, callback, *, elem_id):
        self.on_after_component_elem_id = [*self.on_after_component_elem_id, (elem_id, callback)]


def _does_nothing(self, *args, **kwargs):
    """A hook that a script leaves out."""


for _name in ("run", "before_component", "after_component", *HOOKS):
    setattr(Script, _name, _does_nothing)


def basedir():
    """The folder of the extension that is being loaded."""
    return _loading


def list_scripts(scriptdirname, extension):
    """Files of one suffix in a folder of the host's and of every extension."""
    return [ScriptFile(base, file.name, str(file)) for base in [script_path, *_flags.extension_folders(shared.cmd_opts)]
            for file in sorted(Path(base, scriptdirname).glob(f"*{extension}"))]


scripts_data = []               # every script file that was loaded, with its `module`


def load_scripts():
    """Runs every scripts/*.py, with its extension's folder on sys.path meanwhile; makes the runners of both tabs."""
    global _loading, scripts_txt2img, scripts_img2img
    from modules import _host_scripts

    script_callbacks.clear_callbacks()
    scripts_data.clear()
    classes = []
    for file in list_scripts("scripts", ".py"):
        _loading = file.basedir
        sys.path.insert(0, _loading)
        loader = importlib.machinery.SourceFileLoader(file.filename, file.path)
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader(file.filename, loader))
        try:
            loader.exec_module(module)
            scripts_data.append(types.SimpleNamespace(module=module, path=file.path))
            classes += [(one, file.path) for one in vars(module).values() if inspect.isclass(one) and issubclass(one, Script)]
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


class ScriptRunner:
    """The scripts of one tab. `inputs` are the components of them all; the first is the choice of a selectable one."""

    def __init__(self, classes):
        self.classes = classes

    def initialize_scripts(self, is_img2img):
        """New instances, before the components are made."""
        self.scripts, self.alwayson_scripts, self.selectable_scripts, self.inputs = [], [], [], [None]
        self.infotext_fields, self.paste_field_names = [], []
        for kind, file in self.classes:
            script = kind()
            vars(script).update(filename=file, tabname="img2img" if is_img2img else "txt2img", is_img2img=is_img2img,
                                is_txt2img=not is_img2img)
            if shown := script.show(is_img2img):
                script.alwayson = shown is AlwaysVisible
                self.scripts.append(script)
                (self.alwayson_scripts if script.alwayson else self.selectable_scripts).append(script)

    # ---- the components

    def setup_ui_for_section(self, section, scriptlist=None):
        for script in self.alwayson_scripts if scriptlist is None else scriptlist:
            if scriptlist is not None or script.section == section:
                script.args_from = script.args_to = len(self.inputs)
                try:
                    with gr.Group(visible=script.alwayson) as script.group:
                        self._add(script, script.ui(script.is_img2img))
                except Exception:
                    errors.report(f"{script.filename}: its components could not be made", exc_info=True)

    def setup_ui(self):
        """The components of scripts without a section, and of those that can be selected. Gives `inputs`."""
        self.setup_ui_for_section(None)
        choice = self.inputs[0] = gr.Dropdown(["None", *(script.title() for script in self.selectable_scripts)], value="None",
                                              type="index", label="Script", elem_id="script_list")
        self.setup_ui_for_section(None, self.selectable_scripts)
        groups = [script.group for script in self.selectable_scripts]
        choice.change(lambda number: [gr.update(visible=place == number) for place in range(1, len(groups) + 1)],
                      inputs=[choice], outputs=groups)
        return self.inputs

    def _add(self, script, components):
        if components is None:
            return
        saved, file = Path(data_path, "ui-config.json"), os.path.basename(script.filename)
        saved = json.loads(saved.read_text("utf-8")) if saved.is_file() else {}     # only scripts' values are read
        for component in components:
            component.value = saved.get(f"customscript/{file}/{script.tabname}/{component.label}/value", component.value)
        self.inputs += components
        script.args_to, script.name = len(self.inputs), script.title().lower()
        script.api_info = {"name": script.name, "is_alwayson": script.alwayson, "is_img2img": script.is_img2img, "args": [
            {"label": one.label or "", **{key: getattr(one, key, None) for key in ("value", "minimum", "maximum", "step")},
             "choices": [str(choice[0] if isinstance(choice, tuple) else choice) for choice in getattr(one, "choices", None) or ()]
             or None} for one in components]}
        self.infotext_fields += script.infotext_fields or []
        self.paste_field_names += script.paste_field_names or []

    def tell(self, when, component, kwargs):
        """A component of the tab is about to be made ("before") or was made ("after")."""
        for script in self.scripts:
            try:
                for elem_id, callback in getattr(script, f"on_{when}_component_elem_id"):
                    if elem_id == kwargs.get("elem_id"):
                        callback(SimpleNamespace(component=component))
                getattr(script, f"{when}_component")(component, **kwargs)
            except Exception:
                errors.report(f"{script.filename}: {when}_component failed", exc_info=True)

    # ---- a generation

    def __getattr__(self, hook):
        if hook not in HOOKS:
            raise AttributeError(hook)
        return lambda p, *given, **named: self._call(hook, p, given, named)

    def _call(self, hook, p, given, named):
        for script in list(self.alwayson_scripts):
            if getattr(type(script), hook) is _does_nothing or (hook == "setup" and script.setup_for_ui_only and p.is_api):
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
