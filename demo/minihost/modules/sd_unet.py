"""Replacements of the whole UNet (TensorRT and the like)."""
import functools

import torch.nn
from modules import devices, script_callbacks, shared

unet_options = []
current_unet_option = None
current_unet = None


class SdUnetOption:
    model_name = None
    label = None

    def create_unet(self):
        raise NotImplementedError


class SdUnet(torch.nn.Module):
    def forward(self, x, timesteps, context, *args, **kwargs):
        raise NotImplementedError

    def activate(self):
        pass

    def deactivate(self):
        pass


def list_unets():
    unet_options[:] = script_callbacks.list_unets_callback()


def get_unet_option(option=None):
    wanted = option or shared.opts.sd_unet
    fits = {"Automatic": lambda known: known.model_name == shared.sd_model.sd_checkpoint_info.model_name}
    return next(filter(fits.get(wanted, lambda known: known.label == wanted), unet_options), None)


def apply_unet(option=None):
    global current_unet, current_unet_option
    wanted = get_unet_option(option)
    if wanted is current_unet_option:
        return
    if current_unet is not None:
        current_unet.deactivate()
    current_unet_option, current_unet = wanted, None
    shared.sd_model.model.diffusion_model.to(devices.device if wanted is None else devices.cpu)
    if wanted is not None:
        current_unet = wanted.create_unet()
        current_unet.option = wanted
        current_unet.activate()


def create_unet_forward(original_forward):
    def forward(self, x, timesteps=None, context=None, *args, **kwargs):
        compute = functools.partial(original_forward, self) if current_unet is None else current_unet.forward
        return compute(x, timesteps, context, *args, **kwargs)

    return forward
