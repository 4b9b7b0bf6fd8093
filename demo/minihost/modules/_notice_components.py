"""Gradio tells scripts of every component before and after it is made, takes `tooltip`, and names its kind as a class."""
import functools

import gradio as gr
from modules import script_callbacks, scripts


def _telling(make):
    @functools.wraps(make)
    def made(self, *args, tooltip=None, **kwargs):
        _tell("before", self, kwargs)
        make(self, *args, **kwargs)
        own = self.elem_classes or []
        self.elem_classes = [f"gradio-{self.get_block_name()}", *([own] if isinstance(own, str) else own)]
        _tell("after", self, kwargs)

    return made


def _tell(when, component, kwargs):
    getattr(script_callbacks, f"{when}_component_callback")(component, **kwargs)
    if scripts.scripts_current is not None:
        scripts.scripts_current.tell(when, component, kwargs)


for _kind in (gr.components.IOComponent, gr.blocks.BlockContext):
    _kind.__init__ = _telling(_kind.__init__)
