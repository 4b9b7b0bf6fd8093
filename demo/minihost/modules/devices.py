"""Where tensors are: float32 on the graphics card if there is one, else on the CPU."""
import contextlib
import gc

import torch

cpu = torch.device("cpu")
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
dtype = dtype_vae = dtype_unet = dtype_inference = torch.float32
unet_needs_upcast = fp8 = False


class NansException(Exception):
    pass


def autocast(disable: bool = False):
    return contextlib.nullcontext()


def torch_gc() -> None:
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def test_for_nans(x: torch.Tensor, where: str) -> None:
    """Looks at one value, as the WebUI does."""
    from modules.shared import cmd_opts

    if not cmd_opts.disable_nan_check and x.flatten()[0].isnan():
        raise NansException(f"There is NaN in what the {where} gave.")
