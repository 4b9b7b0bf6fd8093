"""Where tensors are: float32 on the graphics card if there is one, else on the CPU."""
import contextlib
import gc

import torch

cpu = torch.device("cpu")
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
dtype = dtype_vae = dtype_unet = torch.float32


def autocast(disable=False):
    """Nothing is cast: all is float32."""
    return contextlib.nullcontext()


class NansException(Exception):
    pass


def torch_gc() -> None:
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def test_for_nans(x: torch.Tensor, where: str) -> None:
    """Looks at one value, as the WebUI does."""
    if x.flatten()[0].isnan():
        raise NansException(f"There is NaN in what the {where} gave.")
