"""A straight way for x_t through the UNet, in LDM's own layers.

An eps-predicting network must give the noise back almost exactly where there is little else: at alpha_bar 0.0026 an
error of 2 % of the noise is an error of 0.4 in the picture. SD1.5's norms see 10 channels of 64 x 64 values and hardly
vary from picture to picture; here they see 2 channels of 8 x 8, and scale the noise by 6 % more or less each time. So
x_t takes a way on which no norm disturbs it, and the other channels only learn what is to be added to it:

    conv_in's channels 0..3 are x_t; the last ResBlock's skip connection copies them, times +-SMALL, into its channels
    0..7, which nothing else writes; in the output norm a pair (SMALL x, -SMALL x) has mean 0 and a variance far under
    the norm's epsilon, so it is only multiplied by 1 / sqrt(epsilon); and SiLU(x) - SiLU(-x) = x gives x_t back.

These weights stay fixed while everything else trains: base, LoRAs and PIA.
"""

import torch
from torch import Tensor, nn

from lib_pia.model import PIAModel

LATENT, PAIRS = 4, 8  # channels of x_t, and of +-x_t before the output norm
SMALL = 2.0**-12  # x times this is exact in fp16 and has 1/170 of the epsilon's variance
BLOCK = "output_blocks.11"
SILENT = (
    f"{BLOCK}.0.out_layers.3",
    f"{BLOCK}.1.proj_out",
)  # layers that add nothing to the last ResBlock's first PAIRS channels


def fixed(parameter: Tensor, index, values: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """A mask of the entries at `index`, and their values (zero elsewhere), both of the parameter's shape."""
    mask, value = torch.zeros_like(parameter, dtype=torch.bool), torch.zeros_like(parameter)
    mask[index], value[index] = True, values
    return mask, value


def fixed_of_unet(unet: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """By parameter: a mask of the fixed entries, and their values (zero elsewhere)."""
    width = unet.model_channels
    first, last = slice(LATENT), slice(PAIRS)
    into, copied, out = (
        torch.zeros(LATENT, LATENT, 3, 3),
        torch.zeros(PAIRS, 2 * width, 1, 1),
        torch.zeros(LATENT, PAIRS, 3, 3),
    )
    for k in range(LATENT):
        into[k, k, 1, 1] = 1.0
        for channel, sign in ((2 * k, 1.0), (2 * k + 1, -1.0)):
            copied[channel, width + k] = sign * SMALL
            out[k, channel, 1, 1] = sign
    epsilon = unet.out[0].eps
    values = {
        "input_blocks.0.0.weight": (first, into), "input_blocks.0.0.bias": (first, 0.0),
        f"{BLOCK}.0.skip_connection.weight": (last, copied), f"{BLOCK}.0.skip_connection.bias": (last, 0.0),
        "out.0.weight": (last, (epsilon + SMALL**2) ** 0.5 / SMALL), "out.0.bias": (last, 0.0),
        "out.2.weight": ((slice(None), last), out),
    }  # fmt: skip
    values |= {f"{layer}.{part}": (last, 0.0) for layer in SILENT for part in ("weight", "bias")}
    return {name: fixed(unet.get_parameter(name), *entry) for name, entry in values.items()}


def fixed_of_pia(model: PIAModel) -> dict[str, tuple[Tensor, Tensor]]:
    """The same for a PIA model: it leaves x_t's channels alone."""
    last = list(model.up)[-1].temporal_transformer.proj_out
    rows = {model.condition.weight: LATENT, last.weight: PAIRS, last.bias: PAIRS}
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(parameter)]: fixed(parameter, slice(count)) for parameter, count in rows.items()}


class Held:
    """Keeps fixed entries of a module's parameters: `gradients()` after backward, `values()` after the optimizer's
    step."""

    def __init__(self, module: nn.Module, fixed: dict[str, tuple[Tensor, Tensor]]):
        parameters = dict(module.named_parameters())
        self.entries: list[tuple[nn.Parameter, Tensor, Tensor]] = [
            (parameters[name], *entry) for name, entry in fixed.items()
        ]
        self.values()

    @torch.no_grad()
    def gradients(self) -> None:
        for parameter, mask, _ in self.entries:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(mask, 0)

    @torch.no_grad()
    def values(self) -> None:
        for parameter, mask, value in self.entries:
            parameter.copy_(torch.where(mask, value, parameter))


def open_way(unet: nn.Module) -> Held:
    """Makes the way in a UNet that has none; all that was added to x_t is forgotten, so that the answer is x_t."""
    with torch.no_grad():
        unet.out[2].weight.zero_()
        unet.out[2].bias.zero_()
    return Held(unet, fixed_of_unet(unet))


def hold_lora(unet: nn.Module) -> Held:
    """For a UNet with a LoRA attached (lora.py): the LoRA leaves x_t's channels alone."""
    names = [f"{layer}.parametrizations.weight.0.up" for layer in (*SILENT, f"{BLOCK}.0.skip_connection")]
    return Held(unet, {name: fixed(unet.get_parameter(name), slice(PAIRS)) for name in names})
