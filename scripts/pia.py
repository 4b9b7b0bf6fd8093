"""Entry point of the extension: hands the WebUI's hooks to lib_pia.host. Everything is imported here, while the
extension's folder is on sys.path."""

from lib_pia.host import contract

contract.check()

from modules import script_callbacks, scripts  # noqa: E402

from lib_pia.host.delivery import output, plot  # noqa: E402
from lib_pia.host.delivery.result import share_files  # noqa: E402
from lib_pia.host.generation import axes, session  # noqa: E402
from lib_pia.host.generation.neighbours import keep_from_starting  # noqa: E402
from lib_pia.host.panel import options, player, routes, ui  # noqa: E402


class PIAScript(scripts.Script):
    def title(self):
        return ui.TITLE

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        built = ui.build(self.tabname)
        self.infotext_fields, self.paste_field_names = built.infotext_fields, built.paste_field_names
        return built.components

    def after_component(self, component, **kwargs):
        if kwargs.get("elem_id") == f"{self.tabname}_gallery":
            player.build(self.tabname)

    def setup(self, p, *args):
        share_files(p)
        keep_from_starting(p, args)

    def before_process(self, p, *args):
        session.begin(p, args)

    def before_process_batch(self, p, *args, **kwargs):
        if bound := session.session_of(p):
            bound.same_prompt()

    def process_batch(self, p, *args, **kwargs):
        if bound := session.session_of(p):
            bound.before_clip()

    def process_before_every_sampling(self, p, *args, **kwargs):
        if bound := session.session_of(p):
            bound.before_sampling()

    def on_mask_blend(self, p, mba, *args):
        if bound := session.session_of(p):
            bound.blend(mba)

    def postprocess_image_after_composite(self, p, *args):
        if bound := session.session_of(p):
            bound.count_frame()

    def postprocess(self, p, processed, *args):
        if bound := session.session_of(p):
            try:
                output.deliver(bound.made, processed)
            finally:
                bound.takeover.end()


def sort_rows(params):
    if bound := session.session_of(params.denoiser.p):
        bound.sort_rows(params)


script_callbacks.on_cfg_denoiser(sort_rows)
script_callbacks.on_cfg_denoised(session.Session.unsort_rows)
script_callbacks.on_infotext_pasted(ui.fill_pasted)
script_callbacks.on_ui_settings(options.add)
script_callbacks.on_app_started(routes.add)
script_callbacks.on_before_ui(axes.add)
script_callbacks.on_image_grid(plot.write_grid)
