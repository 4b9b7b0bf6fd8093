"""The straight way for x_t: exact in the exported layout, kept through training of base, LoRA and PIA."""

import copy

import pytest
import torch

from demo.miniature import lora, through
from demo.miniature.net import UNET
from lib_pia.condition import build_condition
from lib_pia.injection import inject
from lib_pia.training import fresh_model


@pytest.fixture(scope="module")
def unet():
    from ldm.modules.diffusionmodules.openaimodel import UNetModel

    torch.manual_seed(0)
    model = UNetModel(**UNET).eval().requires_grad_(False)
    through.open_way(model)
    return model


def shown(unet, scale=1.0, rows=4):
    generator = torch.Generator().manual_seed(1)
    x = scale * torch.randn(rows, 4, 8, 8, generator=generator)
    text = torch.randn(rows, 77, 64, generator=generator)
    return x, unet(x, torch.full((rows,), 961), context=text)


def test_the_answer_is_what_came_in(unet):
    x, out = shown(unet)
    assert (out - x).abs().max() < 0.005


def test_so_it_is_with_half_precision_weights(unet):
    x, out = shown(copy.deepcopy(unet).half().float())
    assert (out - x).abs().max() < 0.005


def test_without_the_small_scale_the_norm_disturbs_it(unet, monkeypatch):
    monkeypatch.setattr(through, "SMALL", 1.0)
    other = copy.deepcopy(unet)
    through.open_way(other)
    x, out = shown(other)
    assert (out - x).abs().max() > 0.1


def stir(unet, fixed, held):
    """A large step of every parameter, as training makes it."""
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.grad = torch.ones_like(parameter)
        held.gradients()
        for name, (mask, _) in fixed.items():
            assert not unet.get_parameter(name).grad[mask].any()
        for parameter in unet.parameters():
            parameter.add_(0.01 * torch.ones_like(parameter))
        held.values()


def test_training_the_base_changes_only_what_is_added(unet):
    other = copy.deepcopy(unet)
    fixed = through.fixed_of_unet(other)
    held = through.Held(other, fixed)
    stir(other, fixed, held)
    answer = other.out[2].weight.clone()
    with torch.no_grad():
        answer[:, through.PAIRS :] = 0
        other.out[2].weight.copy_(answer)
        other.out[2].bias.zero_()
    x, out = shown(other)
    assert (out - x).abs().max() < 0.005


def test_pia_leaves_the_way_alone(unet):
    model = fresh_model(unet)
    fixed = through.fixed_of_pia(model)
    held = through.Held(model, fixed)
    stir(model, fixed, held)
    condition = build_condition(
        torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2)), torch.linspace(1, 0.2, 4)
    )
    with inject(unet, model, condition, 4):
        x, out = shown(unet)
    assert (out - x).abs().max() < 0.005
    for name, (mask, _) in fixed.items():
        model.get_parameter(name).data[mask] = 0.05
    with inject(unet, model, condition, 4):
        x, out = shown(unet)
    assert (out - x).abs().max() > 0.1


def test_a_lora_leaves_the_way_alone(unet):
    other = copy.deepcopy(unet)
    trained = lora.attach(other)
    held = through.hold_lora(other)
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.02)
    held.values()
    x, out = shown(other)
    assert (out - x).abs().max() < 0.005
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.02)
    x, out = shown(other)
    assert (out - x).abs().max() > 0.1
