"""The settings page: every section and option there is, an apply button, and the options on top of the page."""
import gradio as gr
from modules import script_callbacks, shared
from modules.call_queue import wrap_gradio_call_no_job
from modules.shared import opts
from modules.ui_common import create_refresh_button


def _arguments(info):
    return (info.component_args() if callable(info.component_args) else info.component_args) or {}


def get_value_for_setting(key):
    args = {name: value for name, value in _arguments(opts.data_labels[key]).items() if name != "precision"}
    return gr.update(value=getattr(opts, key), **args)


def create_setting_component(key, is_quicksettings=False):
    info = opts.data_labels[key]
    kinds = {str: gr.Textbox, int: gr.Number, float: gr.Number, bool: gr.Checkbox}
    component = info.component or kinds.get(type(info.default))
    if component is None:
        return None
    made = component(label=info.label, value=getattr(opts, key), elem_id=f"setting_{key}", **_arguments(info))
    if info.refresh is not None:
        create_refresh_button(made, info.refresh, info.component_args, f"refresh_{key}")
    return made


class UiSettings:
    submit = None
    result = None
    interface = None
    components = None
    component_dict = None
    text_settings = None

    def register_settings(self):
        script_callbacks.ui_settings_callback()

    def run_settings(self, *args):
        changed = [key for key, value in zip(self.component_dict, args) if opts.set(key, value)]
        opts.save(shared.config_filename)
        return opts.dumpjson(), f"{len(changed)} settings changed: {', '.join(changed)}"

    def run_settings_single(self, value, key):
        if opts.set(key, value):
            opts.save(shared.config_filename)
        everything = opts.dumpjson()
        return get_value_for_setting(key), everything

    def create_ui(self, loadsave, dummy_component):
        self.component_dict, sections = {}, {}
        opts.reorder()
        for key, info in opts.data_labels.items():
            if info.section[0] is not None:
                sections.setdefault(info.section, []).append(key)
        with gr.Blocks(analytics_enabled=False) as self.interface:
            with gr.Row():
                self.submit = gr.Button("Apply settings", variant="primary", elem_id="settings_submit")
            self.result = gr.HTML("", elem_id="settings_result")
            with gr.Tabs(elem_id="settings"):
                for (section, title), keys in sections.items():
                    with gr.TabItem(title, id=section, elem_id=f"settings_{section}"):
                        for key in keys:
                            if key not in opts.quicksettings_list:
                                self.component_dict[key] = create_setting_component(key)
        self.component_dict = {key: component for key, component in self.component_dict.items()
                               if component is not None and not opts.data_labels[key].do_not_save}
        self.components = list(self.component_dict.values())

    def add_quicksettings(self):
        self._quick = {}
        self.text_settings = gr.Textbox(opts.dumpjson, elem_id="settings_json", visible=False)
        with gr.Row(variant="compact", elem_id="quicksettings"):
            for key in opts.quicksettings_list:
                component = self._quick[key] = create_setting_component(key, is_quicksettings=True)
                component.change(lambda value, key=key: self.run_settings_single(value, key), inputs=[component],
                                 outputs=[component, self.text_settings])

    def add_functionality(self, demo):
        self.submit.click(wrap_gradio_call_no_job(self.run_settings, extra_outputs=[gr.update()]), inputs=self.components,
                          outputs=[self.text_settings, self.result])
        shown = {**self.component_dict, **self._quick}
        demo.load(lambda: [get_value_for_setting(key) for key in shown], outputs=list(shown.values()), queue=False)
