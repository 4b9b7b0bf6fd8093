"""The motion module and the clip-wide norm, by their properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lib_pia import motion_module
from lib_pia.condition import ConditionModule, build_condition
from lib_pia.errors import SettingsError
from lib_pia.frame_norm import clip_group_norm
from lib_pia.motion_module import MotionModule, frame_attention

shapes = st.tuples(st.integers(1, 3), st.integers(2, 5), st.integers(1, 3), st.integers(1, 3))  # B, F, H, W


def random_module(seed=0):
    torch.manual_seed(seed)
    module = MotionModule(32).eval()
    for p in module.parameters():
        p.data.normal_(0, 0.3)
    return module


@pytest.fixture(scope="module")
def module():
    return random_module()


@settings(max_examples=15, deadline=None)
@given(shapes, st.integers(0, 99))
def test_permuting_the_pixels_permutes_the_output(shape, seed):
    module, (groups, frames, height, width) = random_module(), shape
    torch.manual_seed(seed)
    x = torch.randn(groups * frames, 32, height, width)
    order = torch.randperm(height * width)
    with torch.no_grad():
        y = module(x.clone(), frames).flatten(2)[:, :, order]
        z = module(x.flatten(2)[:, :, order].reshape(x.shape).clone(), frames).flatten(2)
    assert torch.allclose(y, z, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(shapes, st.integers(0, 99))
def test_groups_never_mix(shape, seed):
    module, (groups, frames, height, width) = random_module(), shape
    torch.manual_seed(seed)
    x = torch.randn(groups * frames, 32, height, width)
    with torch.no_grad():
        together = module(x, frames)
        apart = torch.cat([module(part, frames) for part in x.split(frames)])
    assert torch.allclose(together, apart, atol=1e-4)


def test_a_zero_output_projection_is_the_identity():
    x = torch.randn(8, 32, 3, 3)
    with torch.no_grad():
        assert torch.equal(MotionModule(32)(x, 4), x)
        assert not torch.allclose(random_module()(x, 4), x, atol=1e-2)


def test_the_order_of_the_frames_matters(module):
    """Position encoding: reversing the frames does not merely reverse the output."""
    x = torch.randn(4, 32, 2, 2)
    with torch.no_grad():
        assert not torch.allclose(module(x.flip(0), 4).flip(0), module(x, 4), atol=1e-2)


def test_the_input_is_not_overwritten(module):
    x = torch.randn(8, 32, 3, 3)
    kept = x.clone()
    with torch.no_grad():
        module(x, 4)
    assert torch.equal(x, kept)


def test_channels_last_and_large_batches_give_the_same(module, monkeypatch):
    x = torch.randn(8, 32, 4, 4)
    with torch.no_grad():
        y = module(x, 4)
        assert torch.allclose(module(x.to(memory_format=torch.channels_last), 4), y, atol=1e-5)
        monkeypatch.setattr(motion_module, "GRID_LIMIT", 24)  # three pixels a call
        monkeypatch.setattr(motion_module, "TOKENS_PER_PIECE_CPU", 5)
        assert torch.allclose(module(x, 4), y, atol=1e-5)


def test_attention_batches_stay_under_the_grid_limit(monkeypatch):
    batches = []
    real = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        motion_module.functional,
        "scaled_dot_product_attention",
        lambda q, k, v: batches.append(q.shape[0] * q.shape[1]) or real(q, k, v),
    )
    q, k, v = torch.randn(3, 1, 2, 70000 // 8, 8, 1)
    out = frame_attention(q, k, v)
    assert len(batches) == 2 and max(batches) <= 65535
    expected = torch.einsum("bpnfg,bgpnd->bfpnd", torch.einsum("bfpnd,bgpnd->bpnfg", q, k).softmax(-1), v)
    assert torch.allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_near_full_precision(dtype, module):
    x = torch.randn(8, 32, 3, 3)
    half = random_module().to(dtype)
    with torch.no_grad():
        ours, full = half(x.to(dtype), 4), module(x, 4)
    assert ours.dtype == dtype
    assert (ours.float() - full).norm() / full.norm() < (0.01 if dtype == torch.float16 else 0.05)


def reference_norm(x, frames, norm):
    groups = x.double().unflatten(0, (-1, frames)).transpose(1, 2)  # [B, C, F, H, W]
    return norm.double()(groups).transpose(1, 2).flatten(0, 1)


@settings(max_examples=20, deadline=None)
@given(shapes, st.sampled_from([0.0, 30.0]), st.booleans())
def test_the_clip_norm_takes_its_statistics_over_the_clip(shape, offset, affine):
    groups, frames, height, width = shape
    torch.manual_seed(0)
    norm = nn.GroupNorm(32, 64, affine=affine)
    for p in norm.parameters():
        p.data.normal_()
    x = torch.randn(groups * frames, 64, height, width) + offset + 3 * torch.randn(groups * frames, 1, 1, 1)
    assert torch.allclose(clip_group_norm(x, frames, norm).double(), reference_norm(x, frames, norm), atol=1e-3)


def test_the_clip_norm_of_half_precision_accumulates_in_full():
    x = (torch.randn(8, 64, 16, 16) + 20).half()
    norm = nn.GroupNorm(32, 64)
    ours = clip_group_norm(x, 4, norm)
    assert ours.dtype == torch.float16
    assert (ours.double() - reference_norm(x, 4, norm)).abs().max() < 5e-3


def test_the_clip_norm_has_right_gradients():
    norm = nn.GroupNorm(2, 4).double()
    x = torch.randn(6, 4, 2, 2, requires_grad=True)
    loss = (clip_group_norm(x, 3, norm.float()) * torch.arange(16.0).view(1, 4, 2, 2)).sum()
    (ours,) = torch.autograd.grad(loss, x)
    loss = (reference_norm(x, 3, norm) * torch.arange(16.0).view(1, 4, 2, 2)).sum()
    (theirs,) = torch.autograd.grad(loss, x)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_the_condition_is_affinity_then_latent():
    latent, affinity = torch.randn(1, 4, 2, 3), torch.tensor([1.0, 0.5])
    condition = build_condition(latent, affinity)
    assert condition.shape == (2, 5, 2, 3)
    assert torch.equal(condition[1, 0], torch.full((2, 3), 0.5)) and torch.equal(condition[0, 1:], latent[0])
    per_pixel = torch.rand(2, 1, 2, 3)
    assert torch.equal(build_condition(latent, per_pixel)[:, :1], per_pixel)
    assert torch.equal(ConditionModule(7)(condition), torch.zeros(2, 7, 2, 3))  # starts at zero


@pytest.mark.parametrize(
    "latent, affinity, sentence",
    [
        ((2, 4, 2, 2), (3,), "There are 2 condition latents for 3 frames; give one, or one per frame"),
        ((2, 3, 2, 2), (3,), r"condition latent has shape \[2, 3, 2, 2\]; it must be \[1, 4, H, W\]"),
        ((1, 3, 2, 2), (3,), "condition latent"),
        ((1, 4, 2, 2), (3, 1, 4, 4), r"it must be \[F\] or \[F, 1, 2, 2\]"),
        ((1, 4, 2, 2), (3, 2, 2, 2), "affinity has shape"),
        ((1, 4, 2, 2), (0,), "affinity has shape"),
    ],
)
def test_conditions_of_a_wrong_shape(latent, affinity, sentence):
    with pytest.raises(SettingsError, match=sentence):
        build_condition(torch.zeros(latent), torch.zeros(affinity))
