"""The components that gradio has not; and every component tells scripts of itself, before and after it is made."""

import functools

import gradio as gr
from modules import script_callbacks, scripts


def _in_form(name, base):
    """A class of `base` that the page's JavaScript takes for `name`, and that stands in a form."""
    in_form = {"get_block_name": lambda self: name, "get_expected_parent": lambda self: gr.components.Form}
    return type(base.__name__, (base,), in_form)


FormRow = _in_form("row", gr.Row)


class ToolButton(_in_form("button", gr.Button)):
    """A small button with a symbol."""

    def __init__(self, value="", **kwargs):
        super().__init__(value, elem_classes=["tool"], **kwargs)


class InputAccordion(gr.Checkbox):
    """A hidden checkbox, which is the value, and an accordion; the page's scripts put a checkbox into its header."""

    def __init__(self, value, *, elem_id, label="Accordion", **kwargs):
        super().__init__(value, label=label, elem_id=f"{elem_id}-checkbox", visible=False, **kwargs)
        self.change(None, _js=f"(checked) => inputAccordionChecked('{elem_id}', checked)", inputs=[self])
        self.accordion = gr.Accordion(label, open=value, elem_id=elem_id, elem_classes=["input-accordion"])

    def get_block_name(self):
        return "checkbox"

    def __enter__(self):
        self.accordion.__enter__()
        return self

    def __exit__(self, *error):
        self.accordion.__exit__(*error)


def _telling(make):
    def tell(when, component, kwargs):
        getattr(script_callbacks, f"{when}_component_callback")(component, **kwargs)
        if scripts.scripts_current is not None:
            scripts.scripts_current.tell(f"{when}_component", component, kwargs)

    @functools.wraps(make)
    def made(self, *args, tooltip=None, **kwargs):
        tell("before", self, kwargs)
        make(self, *args, **kwargs)
        own = self.elem_classes or []
        self.elem_classes = [f"gradio-{self.get_block_name()}", *([own] if isinstance(own, str) else own)]
        tell("after", self, kwargs)

    return made


for _kind in (gr.components.IOComponent, gr.blocks.BlockContext):
    _kind.__init__ = _telling(_kind.__init__)
