"""Start-up, in the WebUI's order."""


def initialize():
    initialize_rest()


def initialize_rest(*, reload_script_modules=False):
    """Also after "Reload UI"."""
    from modules import (
        extensions,
        extra_networks,
        localization,
        scripts,
        sd_models,
        sd_samplers,
        sd_unet,
        sd_vae,
        shared,
    )

    sd_samplers.set_samplers()
    extensions.list_extensions()
    sd_models.list_models()
    scripts.load_scripts()
    localization.list_localizations(shared.cmd_opts.localizations_dir)
    sd_vae.refresh_vae_list()
    sd_unet.list_unets()
    extra_networks.initialize()
    extra_networks.register_default_extra_networks()
    shared.opts.onchange("sd_model_checkpoint", lambda: sd_models.reload_model_weights(), call=False)
    shared.opts.onchange("sd_vae", lambda: sd_vae.reload_vae_weights(), call=False)
