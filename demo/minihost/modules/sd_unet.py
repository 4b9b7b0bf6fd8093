"""A replacement for the whole UNet (TensorRT and the like), where an extension offers one."""
from modules import script_callbacks, shared

current_unet = None


def apply_unet(option=None):
    """Activates what the setting "sd_unet" names; called after `p.init`."""
    global current_unet
    offered = []
    script_callbacks.list_unets_callback(offered)
    wanted = next((one for one in offered if one.label == (option or shared.opts.sd_unet)), None)
    if current_unet is not None and wanted is None:
        current_unet.deactivate()
        current_unet = None
    elif wanted is not None and getattr(current_unet, "option", None) is not wanted:
        current_unet = wanted.create_unet()
        current_unet.option = wanted
        current_unet.activate()
