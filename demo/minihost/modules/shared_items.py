"""Lists for drop-downs, and `shared.sd_model` as a property that loads the model when it is first asked for."""
import sys

import modules.shared  # noqa: F401  (its class is exchanged below)


def sd_vae_items():
    from modules import sd_vae

    return ["Automatic", "None", *sd_vae.vae_dict]


def refresh_vae_list():
    from modules import sd_vae

    sd_vae.refresh_vae_list()


def sd_unet_items():
    from modules import sd_unet

    return ["Automatic", *(option.label for option in sd_unet.unet_options), "None"]


def list_checkpoint_tiles(use_short=False):
    from modules import sd_models

    return sd_models.checkpoint_tiles(use_short)


def refresh_checkpoints():
    from modules import sd_models

    return sd_models.list_models()


def list_samplers():
    from modules import sd_samplers

    return sd_samplers.all_samplers


class Shared(type(sys)):
    @property
    def sd_model(self):
        from modules import sd_models

        return sd_models.model_data.get_sd_model()

    @sd_model.setter
    def sd_model(self, value):
        from modules import sd_models

        sd_models.model_data.set_sd_model(value)


sys.modules["modules.shared"].__class__ = Shared
