"""Gradio's components tell scripts when they are made, take `tooltip`, and carry a class with their name for style sheets."""
import gradio as gr
from modules import script_callbacks, scripts, ui_tempdir

_originals = {kind: kind.__init__ for kind in (gr.components.IOComponent, gr.blocks.BlockContext)}
_original_get_config = gr.blocks.Block.get_config


def add_classes_to_gradio_component(comp):
    extra = ["multiselect"] if getattr(comp, "multiselect", False) else []
    comp.elem_classes = [f"gradio-{comp.get_block_name()}", *(comp.elem_classes or []), *extra]


def _init(kind):
    def init(self, *args, **kwargs):
        if kind is gr.components.IOComponent:
            tooltip = kwargs.pop("tooltip", None)
            self.webui_tooltip = tooltip
        runner = scripts.scripts_current
        if runner is not None:
            runner.before_component(self, **kwargs)
        script_callbacks.before_component_callback(self, **kwargs)
        _originals[kind](self, *args, **kwargs)
        add_classes_to_gradio_component(self)
        script_callbacks.after_component_callback(self, **kwargs)
        if runner is not None:
            runner.after_component(self, **kwargs)

    return init


def Block_get_config(self):
    config = _original_get_config(self)
    if getattr(self, "webui_tooltip", None):
        config["webui_tooltip"] = self.webui_tooltip
    return config


for _kind in _originals:
    _kind.__init__ = _init(_kind)
gr.blocks.Block.get_config = Block_get_config
ui_tempdir.install_ui_tempdir_override()
