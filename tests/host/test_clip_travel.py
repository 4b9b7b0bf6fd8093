"""Prompts that name frames: what the model is told of every frame, at every step."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch

from demo.minihost import HostResponseError
from tests.host.clips import Watcher, animate, animate_text, distance, pixels, still
from tests.host.test_clip_restore import before, fails, unharmed  # noqa: F401

CHAIN = {"num_frames": 10, "window": 8, "overlap": 2}  # windows at 0 and 2
TRAVEL = "a cat\n0: red\n3: blue\n\nin snow"
RED, BLUE = "a cat, red, in snow", "a cat, blue, in snow"
SHARES = (0, 1 / 3, 2 / 3, 1)
LONG = "a cat, " * 40  # two chunks of text
SAME = 1e-6


@pytest.fixture
def told(host, monkeypatch):
    """Per step: the encodings (positive, negative) as the host's denoiser gets them."""
    from modules import script_callbacks

    seen, original = [], script_callbacks.cfg_denoiser_callback

    def watched(params):
        original(params)
        seen.append((params.text_cond.clone(), params.text_uncond.clone()))

    monkeypatch.setattr(script_callbacks, "cfg_denoiser_callback", watched)
    return seen


@pytest.fixture
def alone(host, told):
    """alone(text) -> [(positive, negative)] of each step when an ordinary picture has this prompt."""

    def run(prompt="a cat", **request):
        start = len(told)
        still(host, prompt=prompt, **request)
        return [(positive[0], negative[0]) for positive, negative in told[start:]]

    return run


def mixed(first, second, shares=SHARES):
    return torch.stack([torch.lerp(first, second, share) for share in shares])


@pytest.mark.parametrize("clip, sampler", [(animate, "Euler"), (animate, "DDIM"), (animate_text, "Heun")])
def test_key_frames_say_their_texts_and_the_others_a_mix_per_token(host, told, alone, clip, sampler):
    answer = clip(host, prompt=TRAVEL, steps=3, sampler_name=sampler)
    steps = [positive for positive, _ in told if len(positive) == 4]
    (red, _), (blue, _) = alone(RED, sampler_name=sampler)[0], alone(BLUE, sampler_name=sampler)[0]
    assert len(steps) >= 2 and distance(red, blue) > 1e-2
    for said in steps:
        assert torch.equal(said[0], red) and torch.equal(said[3], blue)
        assert distance(said, mixed(red, blue)) < SAME
    assert set(answer["info"]["all_prompts"]) == {TRAVEL}
    assert answer["info"]["infotexts"][0].startswith(f"{TRAVEL}\nNegative prompt: blurry\n")


def test_the_still_is_the_picture_of_the_first_text(host, told, alone):
    animate_text(host, prompt=TRAVEL)
    assert torch.equal(told[0][0][0], alone(RED)[0][0])


def test_the_infotext_pastes_back(host):
    from modules.infotext_utils import parse_generation_parameters

    text = animate(host, prompt=TRAVEL, negative_prompt="0: blurry\n2: dark")["info"]["infotexts"][0]
    values = parse_generation_parameters(text)
    assert values["Prompt"] == TRAVEL and values["Negative prompt"] == "0: blurry\n2: dark"


def test_prompt_editing_is_mixed_at_every_step(host, told, alone):
    first, second = "[red:blue:0.5] cat", "[pink:green:0.25] dog"
    animate(host, prompt=f"0: {first}\n3: {second}", steps=8)
    said = [positive for positive, _ in told]
    reds, pinks = alone(first, steps=8), alone(second, steps=8)
    assert len({tuple(positive[1, :, 0].tolist()) for positive in said}) == 3
    for step, (red, _), (pink, _) in zip(said, reds, pinks):
        assert distance(step, mixed(red, pink)) < SAME


def test_every_part_of_an_and_prompt_travels_with_its_weight(host, told, alone, monkeypatch):
    from modules import prompt_parser

    weights, original = [], prompt_parser.reconstruct_multicond_batch

    def watched(cond, step):
        rows, tensor = original(cond, step)
        weights.append([[weight for _, weight in parts] for parts in rows])
        return rows, tensor

    monkeypatch.setattr(prompt_parser, "reconstruct_multicond_batch", watched)
    animate(host, prompt="0: cat AND a dog :0.5\n3: hen AND a fox :0.8", steps=2)
    said = told[-1][0].view(2, 4, *told[-1][0].shape[1:])  # sorted by part
    for part, (a, b) in enumerate((("cat ", "hen "), (" a dog", " a fox"))):
        assert distance(said[part], mixed(alone(a)[0][0], alone(b)[0][0])) < SAME
    assert weights[0] == [[1.0, pytest.approx(0.5 + 0.3 * share)] for share in SHARES]


def test_a_part_that_only_one_text_has_fades(host, told, latents, plain):
    assert distance(latents(prompt="0: a cat\n9: a cat AND a dog :0"), plain) < 2e-5
    clip = latents(prompt="0: a cat\n9: a cat AND a dog")
    assert distance(clip[0], plain[0]) < distance(clip[7], plain[7])
    told.clear()
    animate(host, prompt="0: a cat\n1: a dog AND a hen\n2: a fox\n3: a fox", steps=1)
    assert len(told[0][0]) == 8 and torch.isfinite(told[0][0]).all()


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_texts_of_different_length_are_filled_up_with_empty_ones(host, told, alone, name):
    which = int(name == "negative_prompt")
    animate(host, **{name: f"0: cat\n3: {LONG}"}, steps=1)
    said = told[0][which]
    short, long = alone(**{name: "cat"})[0][which], alone(**{name: LONG.strip(" ,")})[0][which]
    empty = host.shared.sd_model.cond_stage_model_empty_prompt[0]
    assert len(long) == 2 * len(short) == said.shape[1]
    assert distance(said, mixed(torch.cat([short, empty]), long)) < SAME


@pytest.mark.parametrize(
    "prompt",
    ["0: cat\n9: " + LONG, "0: [red:blue:0.5] cat AND a dog :0.5\n9: [green:pink:0.5] cat AND a fox :0.7"],
    ids=["long", "AND"],
)
def test_one_call_or_many(latents, prompt):
    whole = latents(prompt=prompt, negative_prompt="0: dark\n9: bright")
    assert (
        distance(
            latents(prompt=prompt, negative_prompt="0: dark\n9: bright", options={"batch_cond_uncond": False}), whole
        )
        < 2e-5
    )
    assert distance(latents(prompt=prompt, negative_prompt="dark"), whole) > 1e-3


def test_the_negative_prompt_travels_alone(host, told, alone):
    answer = animate(host, negative_prompt="0: red\n3: blue")
    positive, negative = told[0]
    red, blue = (alone(negative_prompt=text)[0][1] for text in ("red", "blue"))
    assert distance(negative, mixed(red, blue)) < SAME
    wanted = alone("a cat")[0][0]
    assert all(torch.equal(row, wanted) for row in positive)
    assert set(answer["info"]["all_negative_prompts"]) == {"0: red\n3: blue"}


def test_windows_say_what_the_whole_clip_says(host, told, alone):
    animate(host, CHAIN, prompt="2: red\n9: blue", steps=1)
    red, blue = alone("red")[0][0], alone("blue")[0][0]
    whole = mixed(red, blue, [max(frame - 2, 0) / 7 for frame in range(10)])
    assert distance(told[0][0], whole[:8]) < SAME and distance(told[1][0], whole[2:]) < SAME


def test_a_loop_comes_back_to_its_first_text(host, told, alone):
    animate(host, {"motion": "loop"}, prompt="0: red\n2: blue", steps=1)
    red, blue = alone("red")[0][0], alone("blue")[0][0]
    assert distance(told[0][0], mixed(red, blue, (0, 0.5, 1, 0.5))) < SAME


def test_a_clip_that_goes_on_counts_its_new_frames(host, told, alone):
    old = animate(host, {"formats": ["apng"]})["images"][0]
    animate(host, {"continue_from": old}, prompt="0: red\n3: blue", steps=1)
    said = told[-1][0]
    red, blue = alone("red")[0][0], alone("blue")[0][0]
    assert len(said) > 4 and distance(said[-4:], mixed(red, blue)) < SAME
    assert all(torch.equal(row, red) for row in said[:-4])


def test_every_clip_of_a_batch_travels_alike(host, told):
    both = animate(host, prompt=TRAVEL, batch_size=2)
    assert len(both["images"]) == 8
    assert all(torch.equal(step[0], told[0][0]) for step in told)
    assert both["images"][4:] == animate(host, prompt=TRAVEL, seed=5)["images"]


def test_networks_count_from_the_first_text(host, models, latents):
    lora = f"<lora:{models.lora()}:1>"
    plain, first = latents(prompt="0: red\n9: blue"), latents(prompt=f"0: red {lora}\n9: blue")
    assert distance(first, plain) > 1e-3
    assert distance(latents(prompt=f"{lora}\n0: red\n9: blue"), plain) > 1e-3
    assert distance(latents(prompt=f"0: red\n9: blue {lora}"), plain) < SAME


def test_a_network_of_a_later_text_is_said_not_to_count(host, models):
    watcher, seen = Watcher(host), []
    watcher.hooks["postprocess_image"] = lambda p: seen.append(list(p.comments))
    lora = f"<lora:{models.lora()}:1>"
    with host.script(watcher):
        animate(host, prompt=f"0: red\n3: blue {lora}")
    assert f"{lora} is not in the first text of the prompt, and counts only there." in seen[0]


def test_a_style_is_put_around_every_text(host, told, alone, monkeypatch):
    """The host puts styles into all prompts before any script sees them; minihost has none, so they are put in here."""
    from modules import shared

    def styled(text, names):
        return f"photo of {text.strip()}, in snow" if names else text

    monkeypatch.setattr(
        shared,
        "prompt_styles",
        SimpleNamespace(apply_styles_to_prompt=styled, apply_negative_styles_to_prompt=lambda text, names: text),
        raising=False,
    )
    watcher, typed = Watcher(host), "0: red\n3: blue"

    def apply(p):
        p.styles, p.all_prompts[:] = ["a style"], [styled(text, True) for text in p.all_prompts]

    watcher.hooks["process"] = apply
    with host.script(watcher):
        answer = animate(host, prompt=typed)
    red, blue = alone("photo of, red, in snow")[0][0], alone("photo of, blue, in snow")[0][0]
    assert distance(told[0][0], mixed(red, blue)) < SAME
    assert set(answer["info"]["all_prompts"]) == {"photo of\n0: red\n3: blue\n\nin snow"}


def test_the_hires_pass_is_told_the_first_text(host, monkeypatch):
    """The host reads the prompts of that pass where it parses networks; before and after they are what was typed."""
    from modules import extra_networks

    watcher, seen, parse, given = Watcher(host), [], extra_networks.parse_prompts, []

    def prepare(p):
        given.append(p)
        p.all_hr_prompts, p.all_hr_negative_prompts = [TRAVEL] * 4, ["blurry"] * 4

    def parsed(prompts):
        seen.append(given[0].all_hr_prompts)
        return parse(prompts)

    monkeypatch.setattr(extra_networks, "parse_prompts", parsed)
    watcher.hooks = {"process": prepare, "postprocess_image": lambda p: seen.append(p.all_hr_prompts)}
    with host.script(watcher):
        animate_text(host, prompt=TRAVEL)
    assert seen[0] == [RED] * 4 and seen[-4:] == [[TRAVEL] * 4] * 4


@pytest.mark.parametrize("prompt", ["16:9 photo", "1girl: smiling", "8: the lucky number", "16:9\n4:3"])
def test_what_names_no_frames_is_said_as_it_is(host, told, alone, prompt):
    animate(host, prompt=prompt, steps=1)
    (wanted, _), *_ = alone(prompt, steps=1)
    assert all(torch.equal(row, wanted) for row in told[0][0])


def test_it_is_the_clip_of_its_text_where_both_texts_are_one(latents, plain):
    assert distance(latents(prompt="0: a cat\n9: a cat"), plain) < SAME


@pytest.mark.parametrize("clip", [animate, animate_text])
def test_what_cannot_be_is_refused(host, unharmed, clip):  # noqa: F811
    for sentence, request in (
        (
            "The prompt has a text for frame 4, but the clip has 4 frames; name frames from 0 to 3.",
            {"prompt": "0: a\n4: b"},
        ),
        ("The prompt has two texts for frame 3; leave one of them out.", {"prompt": "3: a\n3: b"}),
        ("The negative prompt has a text for frame 9, but", {"negative_prompt": "0: a\n9: b"}),
    ):
        with pytest.raises(HostResponseError) as error:
            clip(host, **request)
        assert error.value.status == 422 and error.value.body["detail"].startswith(sentence)


@pytest.mark.parametrize("call", [1, 4])
def test_a_failure_leaves_the_host_as_it_was(host, unharmed, call):  # noqa: F811
    calls = itertools.count(1)

    def break_it(module, args):
        if next(calls) == call:
            raise RuntimeError("the UNet broke")

    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(break_it):
        fails(host, 500, "the UNet broke", {**CHAIN}, prompt="0: red\n9: blue")


def test_the_hosts_own_encodings_are_not_changed(host, alone):
    """They are cached and shared: the same travel and an ordinary picture of one of its texts come out as before."""
    picture, clip = still(host, prompt=RED), animate(host, prompt=TRAVEL)["images"]
    assert animate(host, prompt=TRAVEL)["images"] == clip and still(host, prompt=RED) == picture
    assert len(set(map(pixels, clip))) == 4
    assert all(a != b for a, b in itertools.pairwise(clip))
