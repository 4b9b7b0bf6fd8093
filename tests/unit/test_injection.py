"""inject(): what it computes on any rows, what it refuses, and that the UNet is bit for bit what it was, however the
block ends."""

import gc
import os
import types

import psutil
import pytest
import torch
from torch import nn

from lib_pia import injection
from lib_pia.errors import HostError, UnsupportedModelError
from lib_pia.injection import find_sites, inject
from lib_pia.model import PIAModel
from tests.tiny_models import build_unet
from tests.unit.conftest import FRAMES, random_model, random_unet

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
)


def snapshot(unet):
    """Everything of the UNet that must not change: values, keys, modules, hook tables, instance and class
    attributes."""
    modules = dict(unet.named_modules())
    return {
        "state": {k: v.clone() for k, v in unet.state_dict().items()},
        "ids": {k: id(v) for k, v in unet.state_dict(keep_vars=True).items()},
        "modules": {k: (id(m), type(m)) for k, m in modules.items()},
        "hooks": {(k, table): list(getattr(m, table)) for k, m in modules.items() for table in HOOKS},
        "attributes": {k: {a: id(v) for a, v in vars(m).items()} for k, m in modules.items()},
        "forwards": {
            k: m.forward.__func__ if isinstance(m.forward, types.MethodType) else m.forward for k, m in modules.items()
        },
        "classes": {type(m): dict(vars(type(m))) for m in modules.values()},
    }


def assert_same(unet, before):
    after = snapshot(unet)
    assert after["state"].keys() == before["state"].keys()
    assert all(torch.equal(after["state"][k], v) for k, v in before["state"].items())
    for part in ("ids", "modules", "hooks", "attributes", "forwards", "classes"):
        assert after[part] == before[part], part


def test_frames_see_each_other_and_groups_do_not(unet, model, condition, call):
    with inject(unet, model, condition):
        both = call(unet, groups=2)
        three = call(unet, groups=3)
    plain = call(unet, groups=2)
    assert not torch.allclose(both, plain, atol=1e-3)
    generator = torch.Generator().manual_seed(3)
    x, context = (
        torch.randn(2 * FRAMES, 4, 8, 8, generator=generator),
        torch.randn(2 * FRAMES, 7, 16, generator=generator),
    )
    with torch.no_grad(), inject(unet, model, condition):
        halves = [
            unet(x[rows], torch.full((FRAMES,), 501), context=context[rows])
            for rows in (slice(0, FRAMES), slice(FRAMES, None))
        ]
        changed = x.clone()
        changed[1] += 1
        out = unet(changed, torch.full((2 * FRAMES,), 501), context=context)
    assert torch.allclose(torch.cat(halves), both, atol=1e-5)
    assert (out[2] - both[2]).abs().max() > 1e-4  # another frame of the same clip
    assert torch.allclose(out[FRAMES:], both[FRAMES:], atol=1e-5)  # the other group
    assert three.shape[0] == 3 * FRAMES


def test_the_condition_reaches_every_group_and_is_computed_once(unet, model, condition, call, monkeypatch):
    calls = []
    forward = type(model.condition).forward
    monkeypatch.setattr(type(model.condition), "forward", lambda self, x: calls.append(1) or forward(self, x))
    with inject(unet, model, condition):
        first = call(unet)
        call(unet, groups=1)
        call(unet)
    assert len(calls) == 1
    with inject(unet, model, condition + 1):
        second = call(unet)
    assert (first - second).abs().flatten(1).amax(1).min() > 1e-4  # every row, cond and uncond alike


def test_several_clips_with_their_own_conditions(unet, model, condition, call):
    other = condition.flip(0) * 2
    with inject(unet, model, torch.cat([condition, other]), num_frames=FRAMES):
        together = call(unet, groups=2)
    generator = torch.Generator().manual_seed(3)
    x, context = (
        torch.randn(2 * FRAMES, 4, 8, 8, generator=generator),
        torch.randn(2 * FRAMES, 7, 16, generator=generator),
    )
    for k, own in enumerate((condition, other)):
        rows = slice(k * FRAMES, (k + 1) * FRAMES)
        with torch.no_grad(), inject(unet, model, own):
            assert torch.allclose(
                unet(x[rows], torch.full((FRAMES,), 501), context=context[rows]), together[rows], atol=1e-5
            )


def test_an_untrained_model_changes_only_the_norms(unet, call):
    """Zero projections and a zero condition: all that is left of PIA is the clip-wide norm, which one frame alone does
    not see."""
    neutral = PIAModel((32, 32, 32, 32)).eval()
    plain = call(unet, groups=2, frames=1)
    with inject(unet, neutral, torch.randn(1, 5, 8, 8)):
        assert torch.allclose(call(unet, groups=2, frames=1), plain, atol=1e-5)
    with inject(unet, neutral, torch.randn(2, 5, 8, 8)):
        assert not torch.allclose(call(unet, groups=1, frames=2), call_plain(unet, call), atol=1e-4)


def call_plain(unet, call):
    with_hooks = [hook for m in unet.modules() for hook in m._forward_hooks]
    assert with_hooks  # still injected: run a twin without
    return call(random_unet(), groups=1, frames=2)


def test_gradients_reach_the_model(unet, condition):
    model = random_model().requires_grad_(True)
    model.condition.weight.requires_grad_(True)
    with inject(unet, model, condition):
        out = unet(torch.randn(FRAMES, 4, 8, 8), torch.full((FRAMES,), 3), context=torch.randn(FRAMES, 7, 16))
        out.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for name, p in model.named_parameters())
    assert all(p.grad is None for p in unet.parameters())


def test_with_and_without_gradients_agree(unet, model, condition):
    x, context = torch.randn(2 * FRAMES, 4, 8, 8), torch.randn(2 * FRAMES, 7, 16)
    with inject(unet, model, condition):
        training = unet(x, torch.full((len(x),), 77), context=context)
        with torch.no_grad():
            assert torch.allclose(unet(x, torch.full((len(x),), 77), context=context), training, atol=1e-4)


# what is refused


def test_rows_that_the_clip_does_not_divide(unet, model, condition, call):
    before = snapshot(unet)
    with (
        pytest.raises(HostError, match="7 rows, which clips of 4 frames do not divide"),
        inject(unet, model, condition),
    ):
        call(unet, groups=1, frames=7)
    assert_same(unet, before)


def test_another_latent_size(unet, model, condition, call):
    with (
        pytest.raises(HostError, match="latent of 8x8; the PIA condition has 16x16"),
        inject(unet, model, condition.repeat(1, 1, 2, 2)),
    ):
        call(unet)


def test_a_second_model_is_refused_and_the_first_stays(unet, model, condition, call):
    with inject(unet, model, condition):
        alone = call(unet)
        with pytest.raises(HostError, match="in this UNet already"), inject(unet, random_model(9), condition):
            pass
        assert torch.equal(call(unet), alone)
    with inject(unet, model, condition):  # after leaving, it is free again
        assert torch.equal(call(unet), alone)


def test_a_model_of_another_width(model, condition):
    wide = build_unet(width=64, channel_mult=(1, 2, 2, 2), context_dim=16)
    before = snapshot(wide)
    with (
        pytest.raises(UnsupportedModelError, match=r"widths 32, but the selected checkpoint's UNet has 64/128"),
        inject(wide, model, condition),
    ):
        pass
    assert_same(wide, before)


@pytest.mark.parametrize(("theirs", "ours"), [(torch.float32, torch.float16), (torch.bfloat16, torch.float32)])
def test_a_model_of_another_dtype(unet, condition, theirs, ours):
    unet, half = unet.to(theirs), random_model().to(ours)
    before = snapshot(unet)
    with pytest.raises(UnsupportedModelError) as error, inject(unet, half, condition.to(ours)):
        raise AssertionError("it was let in")
    names = [str(kind).removeprefix("torch.") for kind in (ours, theirs)]
    for words in (f"The PIA model is in {names[0]}", f"UNet is in {names[1]}", f"dtype=torch.{names[1]}"):
        assert words in error.value.detail
    assert_same(unet, before)


def test_autocast_brings_dtypes_together(unet, condition, call):
    with torch.autocast("cpu", torch.bfloat16), inject(unet, random_model().to(torch.bfloat16), condition):
        assert torch.isfinite(call(unet)).all()


def test_a_unet_stored_in_float8_is_not_refused(unet, model, condition):
    """The host computes such weights in another type than it stores them in."""
    weight = find_sites(unet).conv_in.weight
    weight.data = weight.data.to(torch.float8_e4m3fn)
    with inject(unet, model, condition):
        pass


def test_more_frames_than_the_model_knows(unet, model):
    with (
        pytest.raises(UnsupportedModelError, match="33 frames, but the PIA model knows at most 32"),
        inject(unet, model, torch.zeros(33, 5, 8, 8)),
    ):
        pass


@pytest.mark.parametrize("shape", [(4, 4, 8, 8), (4, 5, 8), (5,)])
def test_conditions_of_a_wrong_shape(unet, model, shape):
    with pytest.raises(HostError, match=r"it must be \[F, 5, H, W\]"), inject(unet, model, torch.zeros(shape)):
        pass


def test_other_layouts_are_refused():
    class SDXLLike(nn.Module):
        def __init__(self):
            super().__init__()
            self.input_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 8, 3)) for _ in range(9))
            self.middle_block, self.output_blocks, self.out = (
                nn.Sequential(),
                nn.ModuleList(nn.Sequential() for _ in range(9)),
                nn.Sequential(),
            )

    with pytest.raises(UnsupportedModelError, match="9 input and 9 output blocks where SD1.5 has 12 and 12"):
        find_sites(SDXLLike())
    with pytest.raises(UnsupportedModelError, match="has no input_blocks, middle_block, output_blocks, out"):
        find_sites(nn.Linear(2, 2))
    missing = random_unet()
    missing.output_blocks[3] = nn.Sequential(nn.Identity())
    with pytest.raises(UnsupportedModelError, match="no ResBlock in output_blocks.3"):
        find_sites(missing)
    fewer = random_unet()
    fewer.out[0] = nn.Identity()
    with pytest.raises(UnsupportedModelError, match="44 GroupNorm32 layers where SD1.5 has 45"):
        find_sites(fewer)


def test_the_sites_of_the_ldm_unet(unet):
    sites = find_sites(unet)
    names = {id(m): name for name, m in unet.named_modules()}
    assert names[id(sites.conv_in)] == "input_blocks.0.0"
    assert [names[id(m)] for m in sites.down] == [
        f"input_blocks.{b}" for b in ("1.1", "2.1", "4.1", "5.1", "7.1", "8.1", "10.0", "11.0")
    ]
    assert [names[id(m)] for m in sites.up] == [
        f"output_blocks.{b}" for b in ("0.0", "1.0", "2.0", *(f"{i}.1" for i in range(3, 12)))
    ]
    assert len(sites.norms) == 45


# the restore invariant


def test_the_unet_is_untouched_inside_and_after(unet, model, condition, call):
    before, plain = snapshot(unet), call(unet)
    with inject(unet, model, condition):
        inside = snapshot(unet)
        for part in ("ids", "modules", "attributes", "forwards", "classes"):
            assert inside[part] == before[part], part
        assert all(torch.equal(inside["state"][k], v) for k, v in before["state"].items())
        assert inside["hooks"] != before["hooks"]
        call(unet)
    assert_same(unet, before)
    assert torch.equal(call(unet), plain)


@pytest.mark.parametrize(
    "error",
    [ValueError, KeyboardInterrupt, torch.OutOfMemoryError if hasattr(torch, "OutOfMemoryError") else MemoryError],
)
def test_an_error_in_the_block(unet, model, condition, call, error):
    before, plain = snapshot(unet), call(unet)
    with pytest.raises(error), inject(unet, model, condition):
        call(unet)
        raise error
    assert_same(unet, before)
    assert torch.equal(call(unet), plain)


def test_an_error_in_the_middle_of_a_forward(unet, model, condition, call):
    before, plain = snapshot(unet), call(unet)
    broken = unet.output_blocks[5][1].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), inject(unet, model, condition):
        call(unet)
    broken.remove()
    assert_same(unet, before)
    assert torch.equal(call(unet), plain)


def test_a_failure_while_attaching_any_hook(unet, model, condition, call, monkeypatch):
    before, plain = snapshot(unet), call(unet)
    real = {name: getattr(nn.Module, name) for name in ("register_forward_hook", "register_forward_pre_hook")}
    counts = {"left": 10**6, "made": 0}

    def counting(name):
        def register(self, *args, **kwargs):
            counts["left"] -= 1
            counts["made"] += 1
            if counts["left"] < 0:
                raise RuntimeError("no more hooks")
            return real[name](self, *args, **kwargs)

        return register

    for name in real:
        monkeypatch.setattr(nn.Module, name, counting(name))
    with inject(unet, model, condition):
        pass
    total = counts["made"]
    assert total == 21 + 2 * 45
    for k in range(total):
        counts["left"] = k
        with pytest.raises(RuntimeError, match="no more hooks"), inject(unet, model, condition):
            pytest.fail("entered the block with a hook missing")
        assert not any(getattr(m, table) for m in unet.modules() for table in HOOKS), k
    monkeypatch.undo()
    assert_same(unet, before)
    assert torch.equal(call(unet), plain)
    with inject(unet, model, condition):  # a failed attempt does not count as a model inside
        pass


def test_another_extension_appends_a_module_inside_the_block(unet, model, condition, call):
    plain = call(unet)
    with inject(unet, model, condition):
        without = call(unet)
        unet.input_blocks[1].append(nn.Identity())
        assert torch.equal(call(unet), without)
    assert isinstance(unet.input_blocks[1][-1], nn.Identity)  # theirs is kept
    assert torch.equal(call(unet), plain)


def test_another_extension_replaces_forward_inside_the_block(unet, model, condition, call):
    """ControlNet's way: the instance's forward calls the blocks itself."""
    with inject(unet, model, condition):
        without = call(unet)
        original, seen = unet.forward, []
        unet.forward = lambda *args, **kwargs: seen.append(1) or original(*args, **kwargs)
        assert torch.equal(call(unet), without) and seen
    assert "forward" in vars(unet)  # theirs is kept
    del unet.forward


def test_exits_in_the_wrong_order(unet, model, condition, call):
    other = random_unet(5)
    before, plain = snapshot(unet), call(unet)
    first, second = inject(unet, model, condition), inject(other, model, condition)
    first.__enter__()
    second.__enter__()
    foreign = unet.input_blocks[1][0].register_forward_hook(lambda *_: None)
    first.__exit__(None, None, None)
    assert torch.equal(call(unet), plain)
    second.__exit__(None, None, None)
    foreign.remove()
    assert_same(unet, before)
    assert torch.equal(call(other), call(random_unet(5)))


def test_many_rounds_do_not_grow(unet, model, condition, call):
    def rounds(n):
        for _ in range(n):
            with inject(unet, model, condition):
                pass
        gc.collect()
        return len(gc.get_objects()), psutil.Process(os.getpid()).memory_info().rss

    rounds(20)
    objects, memory = rounds(10)
    more_objects, more_memory = rounds(200)
    assert more_objects - objects < 50
    assert more_memory - memory < 2**20
    assert not injection._injected


def test_a_foreign_hook_sees_whole_rows(unet, model, condition, call):
    """A hook that another extension put on a ResBlock or norm sees outputs of the full batch, as without PIA."""
    shapes = []
    handle = unet.input_blocks[1][0].register_forward_hook(lambda m, a, out: shapes.append(out.shape[0]))
    with inject(unet, model, condition):
        call(unet)
    handle.remove()
    assert shapes == [2 * FRAMES]
