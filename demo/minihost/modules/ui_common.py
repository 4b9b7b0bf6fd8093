"""The refresh button beside a list."""

import gradio as gr
from modules.ui_components import ToolButton


def create_refresh_button(refresh_component, refresh_method, refreshed_args, elem_id):
    """A button that calls `refresh_method`, then gives the component the properties that `refreshed_args` returns."""

    def clicked():
        refresh_method()
        found = refreshed_args()
        vars(refresh_component).update(found)
        return gr.update(**found)

    button = ToolButton("\U0001f504", elem_id=elem_id)
    button.click(clicked, inputs=[], outputs=[refresh_component])
    return button
