"""The components of the page that gradio has not."""
import gradio as gr


def _in_form(name, base):
    """A class of `base` that the page's JavaScript takes for `name`, and that stands in a form."""
    return type(base.__name__, (base,), {"get_block_name": lambda self: name,
                                         "get_expected_parent": lambda self: gr.components.Form})


FormRow, FormColumn, FormGroup = _in_form("row", gr.Row), _in_form("column", gr.Column), _in_form("group", gr.Group)


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
