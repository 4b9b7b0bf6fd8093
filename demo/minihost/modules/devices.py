"""Device and precision. minihost runs in float32; on a CUDA machine on the GPU."""
import contextlib
import gc

import torch

cpu: torch.device = torch.device("cpu")
device: torch.device = None
dtype: torch.dtype = torch.float16
dtype_vae: torch.dtype = torch.float16
dtype_unet: torch.dtype = torch.float16
dtype_inference: torch.dtype = torch.float16
fp8: bool = False
force_fp16: bool = False
unet_needs_upcast = False


class NansException(Exception):
    pass


def get_optimal_device_name():
    return "cuda" if torch.cuda.is_available() else "cpu"


def get_optimal_device():
    name = get_optimal_device_name()
    return torch.device(name)


def torch_gc():
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def cond_cast_unet(input):
    return input if not unet_needs_upcast else input.to(dtype=dtype_unet)


def cond_cast_float(input):
    return input if not unet_needs_upcast else input.to(dtype=torch.float32)


def autocast(disable=False):
    if disable or dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast("cuda")


def without_autocast(disable=False):
    if disable or not torch.is_autocast_enabled():
        return contextlib.nullcontext()
    return torch.autocast("cuda", enabled=False)


def test_for_nans(x, where):
    """Raise NansException when the first value of `x` is not a number."""
    from modules import shared

    if not shared.cmd_opts.disable_nan_check and torch.isnan(x.flatten()[0]):
        raise NansException(f"A tensor from the {where} holds NaN (--disable-nan-check skips this check).")
