"""Loads the scripts of extensions and calls their hooks; a hook that raises is reported and the generation goes on."""
import inspect
import os
import sys
from collections import namedtuple

import gradio as gr
from modules import errors, extensions, paths, script_callbacks, script_loading, shared
from modules._script_api import (  # noqa: F401
    AlwaysVisible,
    MaskBlendArgs,
    OnComponent,
    PostprocessBatchListArgs,
    PostprocessImageArgs,
    PostProcessMaskOverlayArgs,
    PostSampleArgs,
    Script,
    ScriptBuiltinUI,
)

ScriptFile = namedtuple("ScriptFile", "basedir filename path")
ScriptClassData = namedtuple("ScriptClassData", "script_class path basedir module")
scripts_data = []
current_basedir = paths.script_path


def basedir():
    """The extension's folder, while its script is being loaded."""
    return current_basedir


def list_scripts(scriptdirname, extension, *, include_extensions=True):
    own = extensions.Extension("", paths.script_path).list_files(scriptdirname, extension)
    more = [file for ext in extensions.active() for file in ext.list_files(scriptdirname, extension)] if include_extensions else []
    return own + more


def list_files_with_name(filename):
    folders = [paths.script_path, *(ext.path for ext in extensions.active())]
    return [path for path in (os.path.join(folder, filename) for folder in folders) if os.path.isfile(path)]


def load_scripts():
    global current_basedir, scripts_txt2img, scripts_img2img
    scripts_data.clear()
    script_callbacks.clear_callbacks()
    for file in [*list_scripts("scripts", ".py"), *list_scripts("modules/processing_scripts", ".py", include_extensions=False)]:
        before = sys.path
        try:
            if file.basedir != paths.script_path:
                sys.path = [file.basedir, *before]          # only while the script loads
            current_basedir = file.basedir
            module = script_loading.load_module(file.path)
            scripts_data.extend(ScriptClassData(value, file.path, file.basedir, module) for value in vars(module).values()
                                if inspect.isclass(value) and issubclass(value, Script))
        except Exception:
            errors.report(f"the script {file.filename} could not be loaded", exc_info=True)
        finally:
            sys.path = before
            current_basedir = paths.script_path
    scripts_txt2img, scripts_img2img = ScriptRunner(), ScriptRunner()


def wrap_call(func, filename, funcname, *args, default=None, **kwargs):
    try:
        return func(*args, **kwargs)
    except Exception:
        errors.report(f"{funcname} of {filename} failed", exc_info=True)
    return default


class ScriptRunner:
    """The scripts of one tab and the list of all their components (`inputs`; the first is the drop-down of scripts)."""

    def __init__(self):
        self.scripts, self.selectable_scripts, self.alwayson_scripts = [], [], []
        self.titles, self.title_map = [], {}
        self.infotext_fields, self.paste_field_names = [], []
        self.inputs = [None]
        self.on_before_component_elem_id, self.on_after_component_elem_id = {}, {}

    def initialize_scripts(self, is_img2img):
        self.infotext_fields, self.paste_field_names = [], []          # of the API's components, once the page is made
        for scripts in (self.scripts, self.alwayson_scripts, self.selectable_scripts):
            scripts.clear()
        for data in scripts_data:
            try:
                script = data.script_class()
            except Exception:
                errors.report(f"{data.script_class} could not be made", exc_info=True)
                continue
            tab = "img2img" if is_img2img else "txt2img"
            script.filename, script.tabname = data.path, tab
            script.is_txt2img, script.is_img2img = tab == "txt2img", is_img2img
            visibility = script.show(is_img2img)
            if visibility:
                script.alwayson = visibility is AlwaysVisible
                self.scripts.append(script)
                (self.alwayson_scripts if script.alwayson else self.selectable_scripts).append(script)
        self._collect_component_callbacks()

    def _collect_component_callbacks(self):
        for script in self.scripts:
            for wanted, known in ((script.on_before_component_elem_id, self.on_before_component_elem_id),
                                  (script.on_after_component_elem_id, self.on_after_component_elem_id)):
                for elem_id, callback in wanted or []:
                    known.setdefault(elem_id, []).append((callback, script))
                if wanted:
                    wanted.clear()

    def create_script_ui(self, script):
        script.args_from = script.args_to = len(self.inputs)
        try:
            self.create_script_ui_inner(script)
        except Exception:
            errors.report(f"the controls of {script.filename} could not be made", exc_info=True)

    @staticmethod
    def _title_of(script):
        return wrap_call(script.title, script.filename, "title") or script.filename

    def create_script_ui_inner(self, script):
        from modules.api import models

        controls = script.controls = wrap_call(script.ui, script.filename, "ui", script.is_img2img)
        if controls is None:
            return
        script.name = self._title_of(script).lower()
        source, args = os.path.basename(script.filename), []
        for control in controls:
            control.custom_script_source = source
            choices = getattr(control, "choices", None)
            known = {key: getattr(control, key, None) for key in ("value", "minimum", "maximum", "step")}
            known["choices"] = None if choices is None else [one[0] if isinstance(one, tuple) else one for one in choices]
            args.append(models.ScriptArg(label=control.label or "", **{key: value for key, value in known.items() if value is not None}))
        script.api_info = models.ScriptInfo(name=script.name, is_img2img=script.is_img2img, is_alwayson=script.alwayson, args=args)
        self.infotext_fields += script.infotext_fields or []
        self.paste_field_names += script.paste_field_names or []
        self.inputs += controls
        script.args_to = len(self.inputs)

    def setup_ui_for_section(self, section, scriptlist=None):
        candidates = self.alwayson_scripts if scriptlist is None else scriptlist
        for script in [one for one in candidates if not one.alwayson or one.section == section]:
            if script.create_group:
                with gr.Group(visible=script.alwayson) as script.group:
                    self.create_script_ui(script)
            else:
                self.create_script_ui(script)

    def prepare_ui(self):
        self.inputs = [None]

    def setup_ui(self):
        """Components of every script, inside the gradio Blocks that is open; returns `inputs`."""
        title_of = {script: self._title_of(script) for script in self.scripts}
        self.title_map = {title.lower(): script for script, title in title_of.items()}
        self.titles = [title_of[script] for script in self.selectable_scripts]
        self.setup_ui_for_section(None)
        dropdown = gr.Dropdown(label="Script", elem_id="script_list", choices=["None", *self.titles], value="None", type="index")
        self.inputs[0] = dropdown
        self.setup_ui_for_section(section=None, scriptlist=self.selectable_scripts)

        def select_script(script_index):
            return [gr.update(visible=i + 1 == script_index) for i in range(len(self.selectable_scripts))]

        dropdown.change(select_script, inputs=[dropdown], outputs=[script.group for script in self.selectable_scripts])
        self.infotext_fields.append((dropdown, lambda params: gr.update(value=params.get("Script", "None"))))
        self._collect_component_callbacks()
        return self.inputs

    def run(self, p, *args):
        """The chosen script's `run`; None when none is chosen or it returned nothing."""
        if not args[0]:
            return None
        script = self.selectable_scripts[args[0] - 1]
        processed = script.run(p, *args[script.args_from:script.args_to])
        shared.total_tqdm.clear()
        return processed

    def list_scripts_for_method(self, method_name):
        return self.scripts if method_name in ("before_component", "after_component") else self.alwayson_scripts

    def ordered_scripts(self, method_name):
        return [script for script in self.list_scripts_for_method(method_name)
                if getattr(type(script), method_name, None) is not getattr(Script, method_name, None)]

    def _call(self, hook, p, *args, **kwargs):
        for script in self.ordered_scripts(hook):
            try:
                values = p.script_args[script.args_from:script.args_to]
                getattr(script, hook)(p, *args, *values, **kwargs)
            except Exception:
                errors.report(f"{hook} of {script.filename} failed", exc_info=True)

    def before_process(self, p):
        self._call("before_process", p)

    def process(self, p):
        self._call("process", p)

    def process_before_every_sampling(self, p, **kwargs):
        self._call("process_before_every_sampling", p, **kwargs)

    def before_process_batch(self, p, **kwargs):
        self._call("before_process_batch", p, **kwargs)

    def after_extra_networks_activate(self, p, **kwargs):
        self._call("after_extra_networks_activate", p, **kwargs)

    def process_batch(self, p, **kwargs):
        self._call("process_batch", p, **kwargs)

    def postprocess(self, p, processed):
        self._call("postprocess", p, processed)

    def postprocess_batch(self, p, images, **kwargs):
        self._call("postprocess_batch", p, images=images, **kwargs)

    def postprocess_batch_list(self, p, pp: PostprocessBatchListArgs, **kwargs):
        self._call("postprocess_batch_list", p, pp, **kwargs)

    def post_sample(self, p, ps: PostSampleArgs):
        self._call("post_sample", p, ps)

    def on_mask_blend(self, p, mba: MaskBlendArgs):
        self._call("on_mask_blend", p, mba)

    def postprocess_image(self, p, pp: PostprocessImageArgs):
        self._call("postprocess_image", p, pp)

    def postprocess_maskoverlay(self, p, ppmo: PostProcessMaskOverlayArgs):
        self._call("postprocess_maskoverlay", p, ppmo)

    def postprocess_image_after_composite(self, p, pp: PostprocessImageArgs):
        self._call("postprocess_image_after_composite", p, pp)

    def before_hr(self, p):
        self._call("before_hr", p)

    def before_component(self, component, **kwargs):
        self._component("before_component", component, self.on_before_component_elem_id.get(kwargs.get("elem_id"), []), kwargs)

    def after_component(self, component, **kwargs):
        self._component("after_component", component, self.on_after_component_elem_id.get(component.elem_id, []), kwargs)

    def _component(self, hook, component, callbacks, kwargs):
        for callback, script in callbacks:
            wrap_call(callback, script.filename, hook, OnComponent(component=component))
        for script in self.ordered_scripts(hook):
            wrap_call(getattr(script, hook), script.filename, hook, component, **kwargs)

    def script(self, title):
        wanted = title.lower()
        return self.title_map.get(wanted)

    def setup_scrips(self, p, *, is_ui=True):
        hooked = [script for script in self.ordered_scripts("setup") if is_ui or not script.setup_for_ui_only]
        for script in hooked:
            wrap_call(script.setup, script.filename, "setup", p, *p.script_args[script.args_from:script.args_to])


scripts_txt2img: ScriptRunner = None
scripts_img2img: ScriptRunner = None
scripts_current: ScriptRunner = None
