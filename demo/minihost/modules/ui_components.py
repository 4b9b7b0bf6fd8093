"""The components of the page that gradio has not."""
import gradio as gr


def _shown_as(name, base):
    """A class of `base` that the page's JavaScript takes for `name`, and that stands in a form."""
    return type(base.__name__, (base,), {"get_block_name": lambda self: name, "get_expected_parent": lambda self: gr.components.Form})


FormRow = _shown_as("row", gr.Row)
FormColumn = _shown_as("column", gr.Column)
FormGroup = _shown_as("group", gr.Group)
FormHTML = _shown_as("html", gr.HTML)


class ToolButton(_shown_as("button", gr.Button)):
    """A small button with a symbol."""

    def __init__(self, value="", **kwargs):
        super().__init__(value, elem_classes=["tool"], **kwargs)


class InputAccordion(gr.Checkbox):
    """A hidden checkbox, which is the value, and an accordion; javascript/accordion.js puts a checkbox into its header."""

    made = 0

    def __init__(self, value, *, elem_id=None, label="Accordion", **kwargs):
        type(self).made += 1
        self.accordion_id = elem_id or f"input-accordion-{self.made}"
        super().__init__(value, label=label, elem_id=f"{self.accordion_id}-checkbox", visible=False, **kwargs)
        self.change(None, _js=f"(checked) => inputAccordionChecked('{self.accordion_id}', checked)", inputs=[self])
        self.accordion = gr.Accordion(label, open=value, elem_id=self.accordion_id, elem_classes=["input-accordion"])

    def get_block_name(self):
        return "checkbox"

    def extra(self):
        """A place in the header, for a `with`."""
        return gr.Column(elem_id=f"{self.accordion_id}-extra", elem_classes="input-accordion-extra", min_width=0)

    def __enter__(self):
        self.accordion.__enter__()
        return self

    def __exit__(self, *error):
        self.accordion.__exit__(*error)
