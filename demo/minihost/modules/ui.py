"""The page."""
import gradio as gr
import gradio.utils
from modules import _ui_tabs, infotext_utils, script_callbacks, shared, ui_loadsave, ui_settings
from modules.shared import cmd_opts, opts
from modules.ui_common import create_output_panel, create_refresh_button, plaintext_to_html  # noqa: F401
from modules.ui_gradio_extensions import reload_javascript
from modules.ui_settings import create_setting_component  # noqa: F401

gradio.utils.version_check = lambda: None
gradio.utils.get_local_ip_address = lambda: "localhost"


def create_ui():
    reload_javascript()
    infotext_utils.reset()
    settings = ui_settings.UiSettings()
    settings.register_settings()
    interfaces = [(_ui_tabs.txt2img_tab(), "txt2img", "txt2img"), (_ui_tabs.img2img_tab(), "img2img", "img2img"),
                  (_ui_tabs.pnginfo_tab(), "PNG Info", "pnginfo")]
    loadsave = ui_loadsave.UiLoadsave(filename=cmd_opts.ui_config_file)
    known = dict(loadsave.ui_settings)
    settings.create_ui(loadsave, None)
    interfaces += [*script_callbacks.ui_tabs_callback(), (settings.interface, "Settings", "settings")]
    shared.tab_names = [label for _, label, _ in interfaces]
    with gr.Blocks(theme=shared.gradio_theme, analytics_enabled=False, title="Stable Diffusion (minihost)") as demo:
        settings.add_quicksettings()
        infotext_utils.connect_paste_params_buttons()
        with gr.Tabs(elem_id="tabs"):
            for interface, label, name in interfaces:
                if label in opts.hidden_tabs:
                    continue
                with gr.TabItem(label, id=name, elem_id=f"tab_{name}"):
                    interface.render()
                if name != "settings":
                    loadsave.add_block(interface, name)
        settings.add_functionality(demo)
    if known != loadsave.ui_settings:
        loadsave.dump_defaults()
    demo.ui_loadsave = loadsave
    return demo


def setup_ui_api(app):
    app.add_api_route("/internal/ping", endpoint=lambda: {}, methods=["GET"])
