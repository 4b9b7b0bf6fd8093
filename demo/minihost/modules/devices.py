"""Where tensors are: float32 on the graphics card if there is one, else on the CPU."""

import contextlib

import torch

cpu = torch.device("cpu")
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
dtype = dtype_vae = dtype_unet = torch.float32


def autocast(disable=False):
    """Nothing is cast: all is float32."""
    return contextlib.nullcontext()


def torch_gc() -> None:
    """Only the card's memory: to look through all objects, as the WebUI does too, took a tenth of the tests' time."""
    torch.cuda.empty_cache()
