"""A replacement for the whole UNet (TensorRT and the like): there is none here."""
current_unet = None


def apply_unet(option=None):
    """Activates what the setting "sd_unet" names; called after `p.init`."""
    global current_unet
    current_unet = None
