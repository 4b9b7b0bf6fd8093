"""Gradio components of the WebUI's page."""
import gradio as gr


class FormComponent:
    def get_expected_parent(self):
        return gr.components.Form


gr.Dropdown.get_expected_parent = FormComponent.get_expected_parent


def _named(name):
    """get_block_name: the page's JavaScript must see the component that it is made of."""
    return lambda self: name


class ToolButton(FormComponent, gr.Button):
    """A small button with one symbol."""

    def __init__(self, *args, **kwargs):
        classes = kwargs.pop("elem_classes", [])
        super().__init__(*args, elem_classes=["tool", *([classes] if isinstance(classes, str) else classes)], **kwargs)

    get_block_name = _named("button")


class ResizeHandleRow(gr.Row):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.elem_classes += ["resize-handle-row"]

    get_block_name = _named("row")


class FormRow(FormComponent, gr.Row):
    get_block_name = _named("row")


class FormColumn(FormComponent, gr.Column):
    get_block_name = _named("column")


class FormGroup(FormComponent, gr.Group):
    get_block_name = _named("group")


class FormHTML(FormComponent, gr.HTML):
    get_block_name = _named("html")


class FormColorPicker(FormComponent, gr.ColorPicker):
    get_block_name = _named("colorpicker")


class DropdownMulti(FormComponent, gr.Dropdown):
    def __init__(self, **kwargs):
        gr.Dropdown.__init__(self, multiselect=True, **kwargs)

    get_block_name = _named("dropdown")


class DropdownEditable(FormComponent, gr.Dropdown):
    def __init__(self, **kwargs):
        gr.Dropdown.__init__(self, allow_custom_value=True, **kwargs)

    get_block_name = _named("dropdown")


class InputAccordion(gr.Checkbox):
    """An accordion whose header is a checkbox: a hidden gradio checkbox (the value) tied to an accordion by javascript/inputAccordion.js."""

    global_index = 0

    def __init__(self, value, **kwargs):
        number, given = InputAccordion.global_index, kwargs.pop("elem_id", None)
        InputAccordion.global_index += given is None
        self.accordion_id = f"input-accordion-{number}" if given is None else given
        super().__init__(value, **{**kwargs, "elem_id": f"{self.accordion_id}-checkbox", "visible": False})
        self.change(fn=None, _js=f"checked => inputAccordionChecked('{self.accordion_id}', checked)", inputs=[self])
        self.accordion = gr.Accordion(**{"label": "Accordion", **kwargs, "elem_id": self.accordion_id, "elem_classes": ["input-accordion"],
                                         "open": value})

    def extra(self):
        """A place in the header, to be used in a `with`."""
        return gr.Column(elem_id=f"{self.accordion_id}-extra", elem_classes="input-accordion-extra", min_width=0)

    def __enter__(self):
        self.accordion.__enter__()
        return self

    def __exit__(self, exc_type, exc_val, exc_tb):
        self.accordion.__exit__(exc_type)

    get_block_name = _named("checkbox")
