"""A replacement for the whole UNet (TensorRT and the like): there is none here."""

current_unet = None


def apply_unet(option=None):
    """The WebUI activates here what its settings name; called after `p.init`."""
