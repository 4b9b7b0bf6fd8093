"""keep_deep_features(): whole calls are the UNet's own, calls between are the outer blocks on what was kept of the same
part, and the UNet is bit for bit what it was, however the block ends."""

import contextlib

import pytest
import torch

from lib_pia.deep_features import OUTER, deep_blocks, keep_deep_features
from lib_pia.errors import HostError
from lib_pia.injection import inject
from tests.unit.conftest import FRAMES, random_unet
from tests.unit.test_injection import assert_same, snapshot

SIDE = 8


def rows_of(groups, seed, side=SIDE):
    generator = torch.Generator().manual_seed(seed)
    draw = (torch.randn(groups * FRAMES, *shape, generator=generator) for shape in ((4, side, side), (7, 16)))
    return tuple(draw)


def call(unet, rows, t=501):
    x, context = rows
    with torch.no_grad():
        return unet(x, torch.full((len(x),), t), context=context)


@contextlib.contextmanager
def fast(unet, model, condition, interval=3, outer=OUTER):
    with inject(unet, model, condition), keep_deep_features(unet, interval, FRAMES, outer) as features:
        yield features


@contextlib.contextmanager
def deep_output(unet, outer=OUTER):
    """The last deep block's output at every call: a list."""
    seen = []
    with deep_blocks(unet, outer)[-1].register_forward_hook(lambda module, args, output: seen.append(output.clone())):
        yield seen


def outer_blocks_on(unet, rows, t, kept, outer=OUTER):
    """LDM's forward written out for the outer blocks: the skip connections of this call, the deep output of another."""
    from ldm.modules.diffusionmodules.util import timestep_embedding

    x, context = rows
    with torch.no_grad():
        emb = unet.time_embed(timestep_embedding(torch.full((len(x),), t), unet.model_channels))
        h, skips = x, []
        for block in list(unet.input_blocks)[:outer]:
            h = block(h, emb, context)
            skips.append(h)
        h = kept
        for block in list(unet.output_blocks)[-outer:]:
            h = block(torch.cat([h, skips.pop()], dim=1), emb, context)
        return unet.out(h)


@pytest.mark.parametrize("outer", [1, 2, 3, 5])
def test_a_call_between_is_the_outer_blocks_on_what_was_kept(unet, model, condition, outer):
    first, second = rows_of(2, 1), rows_of(2, 2)
    with inject(unet, model, condition):
        with deep_output(unet, outer) as seen:
            whole = call(unet, first, 501)
        wanted = outer_blocks_on(unet, second, 451, seen[0], outer)
    with fast(unet, model, condition, outer=outer) as features:
        features.begin_step(501)
        assert torch.equal(call(unet, first, 501), whole)
        features.begin_step(451)
        between = call(unet, second, 451)
    assert (between - wanted).abs().max() <= 1e-6
    with inject(unet, model, condition):
        assert (call(unet, second, 451) - between).abs().max() > 1e-3


def ran(unet):
    """How often the middle block computes, as a list that grows."""
    seen = []
    unet.middle_block[0].register_forward_hook(lambda *_: seen.append(1))
    return seen


@pytest.mark.parametrize("interval, wanted", [(2, "wbwbwbw"), (3, "wbbwbbw"), (5, "wbbbbwb")])
def test_every_how_many_steps_a_call_is_whole(unet, model, condition, interval, wanted):
    computed, found = ran(unet), ""
    with fast(unet, model, condition, interval) as features:
        for step in range(len(wanted)):
            features.begin_step(900 - step)
            before = len(computed)
            call(unet, rows_of(2, step))
            found += "w" if len(computed) > before else "b"
    assert found == wanted


@pytest.mark.parametrize("begins", [lambda features, step: None, lambda features, step: features.begin_step(step)],
                         ids=["no step begins", "the noise rises"])  # fmt: skip
def test_whole_calls_are_those_without_it(unet, model, condition, begins):
    """Bit for bit, and so are samplers that go back to more noise (Restart)."""
    rows = [rows_of(2, seed) for seed in range(3)]
    with inject(unet, model, condition):
        wanted = [call(unet, part) for part in rows]
    with fast(unet, model, condition) as features:
        for step, part in enumerate(rows):
            begins(features, step)
            assert torch.equal(call(unet, part), wanted[step])


def test_parts_in_one_call_or_in_several(unet, model, condition):
    """Cond and uncond together, apart, and cut as the host cuts AND: the same numbers, each part on its own memory."""
    steps = [rows_of(3, seed) for seed in range(4)]
    found = {}
    for cuts in ((3,), (1, 1, 1), (2, 1)):
        with fast(unet, model, condition) as features:
            for step, (x, context) in enumerate(steps):
                features.begin_step(900 - step)
                sizes = [cut * FRAMES for cut in cuts]
                parts = [call(unet, part) for part in zip(x.split(sizes), context.split(sizes))]
                found.setdefault(step, []).append(torch.cat(parts))
    for together, apart, as_and in found.values():
        assert torch.allclose(apart, together, atol=2e-5) and torch.allclose(as_and, together, atol=2e-5)


def test_the_memory_of_one_part_is_not_that_of_another(unet, model, condition):
    """What the uncond rows of the first step were does not reach the cond rows of the next, and the other way round."""
    (x, context), then = rows_of(2, 1), rows_of(2, 2)
    for changed in (0, 1):
        other = x.clone()
        other[changed * FRAMES : (changed + 1) * FRAMES] += 1
        made = []
        for first in (x, other):
            with fast(unet, model, condition) as features:
                features.begin_step(2)
                for part in zip(first.split(FRAMES), context.split(FRAMES)):
                    call(unet, part)
                features.begin_step(1)
                made.append([call(unet, part) for part in zip(then[0].split(FRAMES), then[1].split(FRAMES))])
        difference = [float((a - b).abs().max()) for a, b in zip(*made)]
        assert difference[changed] > 1e-3 and difference[1 - changed] == 0


def test_steps_without_the_uncond_rows(unet, model, condition):
    """A call one of whose parts has no memory, or one that is too old, is whole; the others go on (NGMS)."""
    computed, found = ran(unet), []
    with fast(unet, model, condition) as features:
        for step, groups in enumerate((1, 2, 1, 2, 1, 2, 1)):
            features.begin_step(900 - step)
            before = len(computed)
            call(unet, rows_of(groups, step))
            found.append(len(computed) > before)
    assert found == [True, True, False, False, True, True, False]


def test_places_have_memories_of_their_own(unet, model, condition):
    """The windows of a slide."""
    firsts, then = {place: rows_of(2, seed) for seed, place in enumerate("ab")}, rows_of(2, 9)
    with fast(unet, model, condition) as features:
        features.begin_step(2)
        for place, rows in firsts.items():
            features.place = place
            call(unet, rows)
        features.begin_step(1)
        found = {}
        for place in "ba":
            features.place = place
            found[place] = call(unet, then)
    for place, rows in firsts.items():
        with fast(unet, model, condition) as features:
            features.begin_step(2)
            call(unet, rows)
            features.begin_step(1)
            assert torch.equal(call(unet, then), found[place])


def test_another_size_starts_anew(unet, model):
    """A hires pass; then the first size again."""
    with keep_deep_features(unet, 3, FRAMES) as features:
        for step, side in enumerate((8, 16, 8)):
            features.begin_step(9 - step)
            rows = rows_of(2, step, side)
            found = call(unet, rows)
            assert torch.equal(found, call(random_unet(), rows))


def test_what_is_kept_is_nobody_elses_to_change(unet, model, condition):
    """FreeU writes into what a block gave."""
    first, second, results = rows_of(2, 1), rows_of(2, 2), []
    for writes in (False, True):
        with fast(unet, model, condition) as features:
            times = 2 if writes else 1
            hook = deep_blocks(unet)[-1].register_forward_hook(lambda m, a, output, t=times: output.mul_(t))
            features.begin_step(3)
            call(unet, first)
            features.begin_step(2)
            call(unet, second)
            hook.remove()
            features.begin_step(1)
            results.append(call(unet, second))
    assert torch.equal(*results)


def test_a_forward_that_calls_the_blocks_is_still_called(unet, model, condition):
    """ControlNet's stands in for the UNet's, adds to the skip connections of every block, and is there afterwards. All
    outputs have the shapes that they always have."""
    from ldm.modules.diffusionmodules.util import timestep_embedding

    shapes = []

    def controlled(x, timesteps=None, context=None, **kwargs):
        emb, skips = unet.time_embed(timestep_embedding(timesteps, unet.model_channels)), []
        h = x
        for block in unet.input_blocks:
            h = block(h, emb, context)
            skips.append(h)
        h = unet.middle_block(h, emb, context)
        shapes.append([h.shape, *(skip.shape for skip in skips)])
        h = h + torch.ones_like(h)
        for block in unet.output_blocks:
            skip = skips.pop()
            h = block(torch.cat([h, skip + torch.full_like(skip, 0.1)], dim=1), emb, context)
        return unet.out(h)

    unet.forward = controlled
    with fast(unet, model, condition) as features:
        features.begin_step(2)
        whole = call(unet, rows_of(2, 1))
        features.begin_step(1)
        between = call(unet, rows_of(2, 1))
    assert unet.forward is controlled
    assert shapes[0] == shapes[1]
    assert torch.equal(whole, between)  # the same rows: what was kept is what would be computed


def test_two_runs_in_one_call_are_refused(unet, model, condition):
    """ControlNet's reference units run the UNet on their own picture first."""
    own = unet.forward

    def twice(x, *args, **kwargs):
        own(x * 0.5, *args, **kwargs)
        return own(x, *args, **kwargs)

    unet.forward = twice
    with fast(unet, model, condition) as features:
        features.begin_step(1)
        with pytest.raises(HostError, match="several times per step"):
            call(unet, rows_of(2, 1))


@pytest.mark.parametrize("end", ["return", "failure", "interrupt", "failure between"])
def test_the_unet_is_what_it_was(unet, model, condition, end):
    own = deep_blocks(unet)[3]
    own.forward = patched = own.forward  # another extension's
    before = snapshot(unet)
    raises = {"failure": RuntimeError, "interrupt": KeyboardInterrupt, "failure between": RuntimeError}.get(end)
    ends = pytest.raises(raises) if raises else contextlib.nullcontext()
    with ends, fast(unet, model, condition) as features:
        features.begin_step(2)
        call(unet, rows_of(2, 1))
        features.begin_step(1)
        if end == "failure between":
            with unet.out.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError)):
                call(unet, rows_of(2, 1))
        if raises:
            raise raises
    assert_same(unet, before)
    assert own.forward is patched
