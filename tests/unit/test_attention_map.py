"""The attention of a word: exact, nothing left behind, and only the cond rows of the steps that were asked for."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from lib_pia.attention_map import (
    AttentionReader,
    heat_frames,
    layer_sides,
    read_attention,
    usual_factors,
    word_positions,
)
from lib_pia.errors import HostError, SettingsError

from .conftest import FRAMES, SIZE

TOKENS = [2, 3]
HEADS = 8


def inputs(rows, size=SIZE, seed=3):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, *((size, size) if isinstance(size, int) else size), generator=generator)
    return x, torch.full((rows,), 501), torch.randn(rows, 7, 16, generator=generator)


def hooks_of(unet):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in unet.modules())


@torch.no_grad()
def layer_maps(unet, x, t, context, rows, tokens, sides, layers=("output_blocks.",)):
    """The map of each layer written out: the inputs of every attn2, its own weights, softmax(q k^T / sqrt(d)), and
    plain means. [rows, *] at the size of the layer."""
    seen = []
    wanted = [m for name, m in unet.named_modules() if name.endswith("attn2") and name.startswith(layers)]
    handles = [
        m.register_forward_pre_hook(lambda m, a, kw: seen.append((m, a[0], kw.get("context"))), with_kwargs=True)
        for m in wanted
    ]
    unet(x, t, context=context)
    for handle in handles:
        handle.remove()
    assert len(seen) == (9 if layers == ("output_blocks.",) else 16)
    maps = []
    for module, hidden, given in seen:
        height, width = next(((h, w) for h, w in sides if h * w == hidden.shape[1]), (0, 0))
        if not height:
            continue
        q, k = hidden @ module.to_q.weight.T, (context if given is None else given) @ module.to_k.weight.T
        d = q.shape[-1] // HEADS
        for_rows = []
        for row in rows:
            of_heads = []
            for head in range(HEADS):
                part = slice(head * d, (head + 1) * d)
                weights = torch.softmax(q[row, :, part] @ k[row, :, part].T / math.sqrt(d), dim=-1)
                of_heads.append(weights[:, tokens].mean(-1))
            for_rows.append(torch.stack(of_heads).mean(0).view(1, height, width))
        maps.append(torch.stack(for_rows))
    return maps


def straight(*args, **kwargs):
    """The mean of the layers' maps, each over its own mean."""
    sides = args[-1]
    maps = [each / each.mean() for each in layer_maps(*args, **kwargs)]
    maps = [interpolate(each, max(sides), mode="bilinear", align_corners=False)[:, 0] for each in maps]
    return torch.stack(maps).mean(0)


@pytest.mark.parametrize(
    "size, factors", [(SIZE, ()), (SIZE, (1,)), (SIZE, (2, 4)), ((8, 16), (1, 2)), ((16, 8), (2,))]
)
def test_against_the_map_written_out(unet, size, factors):
    x, t, context = inputs(2 * FRAMES, size)
    latent = tuple(x.shape[2:])
    reader = AttentionReader(FRAMES, latent, factors)
    with torch.no_grad(), read_attention(unet, reader):
        reader.begin_step([TOKENS])
        unet(x, t, context=context)
    wanted = straight(unet, x, t, context, range(FRAMES), TOKENS, reader.sides)
    found = reader.maps()
    assert found.shape == (FRAMES, *max(reader.sides))
    assert (found - wanted).abs().max() < 1e-5
    assert found.std() > 1e-3 and abs(float(found.mean()) - 1) < 1e-2  # 1 is the average place


def means_of(reader):
    """Of each layer its mean attention, [F, cells]."""
    return [sums / reader.counts[layer].clamp(min=1)[:, None] for layer, sums in reader.sums.items()]


def same(one, other, atol=1e-6):
    assert len(one) == len(other) > 1
    return all(torch.allclose(a, b, atol=atol) for a, b in zip(one, other))


def read(unet, calls, tokens=(TOKENS,), **options):
    """calls: for each step the calls' (x, t, context). Returns the reader."""
    reader = AttentionReader(FRAMES, (SIZE, SIZE), **options)
    with torch.no_grad(), read_attention(unet, reader):
        for step in calls:
            reader.begin_step(tokens)
            for x, t, context in step:
                unet(x, t, context=context)
    return reader


def split(whole, *places):
    return list(zip(*(torch.tensor_split(value, places) for value in whole)))


def test_cond_and_uncond_may_come_together_or_apart(unet):
    whole = inputs(2 * FRAMES)
    together = read(unet, [[whole]]).maps()
    apart = read(unet, [split(whole, FRAMES)]).maps()
    only_cond = read(unet, [split(whole, FRAMES)[:1]]).maps()
    assert torch.allclose(together, apart, atol=1e-5) and torch.allclose(together, only_cond, atol=1e-5)


def test_parts_of_an_and_prompt_have_their_own_tokens(unet):
    whole = inputs(3 * FRAMES)
    both = read(unet, [[whole]], tokens=([], [1]))
    second = read(unet, [split(whole, FRAMES)[1:]], tokens=([1],))
    assert same(means_of(both), means_of(second))
    mean = means_of(read(unet, [[whole]], tokens=([1], [1])))
    first = means_of(read(unet, [[whole]], tokens=([1], [])))
    assert same(mean, [(a + b) / 2 for a, b in zip(first, means_of(second))])


def test_windows_fill_their_place_in_the_clip(unet):
    """Frames in two windows are averaged; a frame in none has no attention, and no part in a layer's mean."""
    a, b = inputs(2, seed=1), inputs(2, seed=2)
    reader = AttentionReader(4, (SIZE, SIZE))
    with torch.no_grad(), read_attention(unet, reader):
        for (x, t, context), frames in ((a, range(0, 2)), (b, range(1, 3))):
            reader.begin_step([TOKENS], frames)
            unet(x, t, context=context)
    wanted = []
    for one, two in zip(*(layer_maps(unet, *whole, range(2), TOKENS, [(8, 8)]) for whole in (a, b))):
        frames = torch.stack([one[0], (one[1] + two[0]) / 2, two[1]])[:, 0]
        wanted.append(torch.cat([frames / frames.mean(), torch.zeros(1, 8, 8)]))
    assert (reader.maps() - torch.stack(wanted).mean(0)).abs().max() < 1e-5


def test_steps_are_averaged_and_can_be_chosen(unet):
    one, two = inputs(FRAMES, seed=1), inputs(FRAMES, seed=2)
    alone = [means_of(read(unet, [[each]])) for each in (one, two)]
    assert same(means_of(read(unet, [[one], [two]])), [(a + b) / 2 for a, b in zip(*alone)])
    assert same(means_of(read(unet, [[one], [two]], steps=range(1, 9))), alone[1], atol=0)


def test_layers_can_be_chosen(unet):
    """The decoder's, unless told otherwise, and every layer has the same say."""
    whole = inputs(FRAMES)
    usual, every = read(unet, [[whole]]).maps(), read(unet, [[whole]], layers=()).maps()
    down, up = (read(unet, [[whole]], layers=(side,)).maps() for side in ("input_blocks.", "output_blocks."))
    assert torch.equal(usual, up) and not torch.allclose(down, up, atol=1e-3)
    assert torch.allclose(every, (2 * down + 3 * up) / 5, atol=1e-6)


def test_a_layer_that_gives_a_word_more_everywhere_has_no_more_say(unet):
    whole = inputs(FRAMES)
    plain = read(unet, [[whole]])
    louder = AttentionReader(FRAMES, (SIZE, SIZE))
    louder.counts = plain.counts
    louder.sums = {layer: sums * 10**number for number, (layer, sums) in enumerate(plain.sums.items())}
    assert torch.allclose(plain.maps(), louder.maps(), atol=1e-5)


def test_the_unet_answers_the_same_and_is_left_as_it_was(unet):
    x, t, context = inputs(2 * FRAMES)
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    with torch.no_grad():
        plain = unet(x, t, context=context)
        reader = AttentionReader(FRAMES, (SIZE, SIZE))
        with read_attention(unet, reader):
            reader.begin_step([TOKENS])
            assert torch.equal(unet(x, t, context=context), plain)
    assert hooks_of(unet) == 0
    assert all(torch.equal(value, before[key]) for key, value in unet.state_dict().items())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_hooks_are_gone_after_every_end(unet, error):
    with pytest.raises(error), read_attention(unet, AttentionReader(FRAMES, (SIZE, SIZE))):
        assert hooks_of(unet) == 2 * 9 + 1  # to_q and to_k of the decoder's, and the UNet
        raise error
    assert hooks_of(unet) == 0


def test_what_lora_adds_to_a_layer_is_seen(unet):
    whole = inputs(FRAMES)
    plain = read(unet, [[whole]]).maps()
    handles = [
        m.to_k.register_forward_hook(lambda m, a, out: out * 3) for n, m in unet.named_modules() if n.endswith("attn2")
    ]
    stronger = read(unet, [[whole]]).maps()
    for handle in handles:
        handle.remove()
    assert not torch.allclose(plain, stronger, atol=1e-3)


def test_without_a_layer_it_is_a_sentence():
    reader = AttentionReader(FRAMES, (64, 64))
    with pytest.raises(HostError, match="No cross-attention layer of 32x32 or 16x16"):
        reader.maps()


def test_sides_of_the_layers():
    assert layer_sides((64, 64), 2) == (32, 32) and layer_sides((64, 64), 4) == (16, 16)
    assert layer_sides((60, 90), 4) == (15, 23) and layer_sides((9, 14), 2) == (5, 7)
    assert usual_factors((64, 64)) == (2, 4) and usual_factors((8, 8)) == (1,)


def chunk(*ids):
    return [0, *ids, *[99] * (76 - len(ids))]


def test_positions_of_a_word():
    assert word_positions([chunk(5, 6, 7)], [6], "b") == [2]
    assert word_positions([chunk(5, 6, 7, 6, 7)], [6, 7], "bc") == [2, 3, 4, 5]
    assert word_positions([chunk(5), chunk(8, 6)], [6], "b") == [77 + 2]
    assert word_positions([chunk(*range(1, 76))], [75], "last") == [75]
    assert word_positions([chunk(6, 6, 6)], [6, 6], "twice") == [1, 2, 3]


@pytest.mark.parametrize("ids", [[8], [6, 5], [99], [0], []])
def test_a_word_that_is_not_in_the_prompt_is_a_sentence(ids):
    """Neither are the start, nor what fills the chunk up; nor does a word go over from one chunk to the next."""
    prompt = [chunk(5, 6, 7)] if ids != [99] else [chunk(*range(1, 76))]
    with pytest.raises(SettingsError, match="'fire', which is not in the prompt"):
        word_positions(prompt, ids, "fire")


def test_heat_is_brightest_where_the_attention_is():
    frames = np.full((2, 32, 32, 3), 128, np.uint8)
    maps = torch.zeros(2, 8, 8)
    maps[0, 1, 1], maps[1, 6, 6] = 1.0, 0.5
    heat = heat_frames(frames, maps)
    assert heat.shape == frames.shape and heat.dtype == np.uint8
    light = heat.astype(int).sum(-1)
    assert light[0].argmax() // 32 < 12 and light[0].max() > light[1].max() > light[1].min()  # one scale for the clip
    assert (heat_frames(frames, torch.zeros(2, 8, 8)) == heat_frames(frames, torch.ones(2, 8, 8))).all()


def test_memory_is_that_of_a_few_rows():
    """What is computed at once does not grow with the clip."""
    seen = []

    layer = torch.nn.Module()
    layer.heads = 2

    real = torch.Tensor.softmax

    def watched(self, *args):
        seen.append(self.shape[0])
        return real(self, *args)

    torch.Tensor.softmax = watched
    try:
        reader = AttentionReader(32, (8, 8))
        reader.begin_step([TOKENS])
        reader.read(layer, torch.randn(64, 64, 8), torch.randn(64, 7, 8))
    finally:
        torch.Tensor.softmax = real
    assert sum(seen) == 32 and max(seen) <= 4
