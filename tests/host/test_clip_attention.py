"""`attention_of`: a heat clip and its numbers beside the clip, which stays what it is without it."""

import base64
import io
import json

import numpy as np
import pytest
import torch

from demo.minihost import HostResponseError
from lib_pia.video import clip_info

from .clips import animate, animate_text, moving

PROMPT = "a red star, moving left"


def unet_hooks(host):
    unet = host.shared.sd_model.model.diffusion_model
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in unet.modules())


def entries(answer):
    return {file["format"]: file for file in answer["info"]["pia"]}


def numbers(answer):
    data = base64.b64decode(answer["images"][entries(answer)["attention.npz"]["index"]])
    return np.load(io.BytesIO(data))


@pytest.fixture(scope="module")
def plain(host):
    return animate(host, {"formats": ["apng"]}, prompt=PROMPT)


@pytest.fixture(scope="module")
def told(host):
    return animate(host, {"formats": ["apng"], "attention_of": "star"}, prompt=PROMPT)


def test_the_clip_stays_what_it_is(plain, told):
    from PIL import Image

    pictures = [Image.open(io.BytesIO(base64.b64decode(answer["images"][0]))) for answer in (plain, told)]
    for frame in range(4):
        for picture in pictures:
            picture.seek(frame)
        assert pictures[0].convert("RGB").tobytes() == pictures[1].convert("RGB").tobytes()


def test_off_is_nothing_at_all(host, plain):
    assert [file["format"] for file in plain["info"]["pia"]] == ["apng"] and unet_hooks(host) == 0
    assert animate(host, {"formats": ["apng"], "attention_of": None}, prompt=PROMPT)["images"] == plain["images"]
    assert "attention" not in plain["info"]["infotexts"][0]


def test_the_files_follow_the_clip(host, told):
    formats = [file["format"] for file in told["info"]["pia"]]
    assert formats == ["apng", "attention.mp4", "attention.npz"] and len(told["images"]) == 3
    assert base64.b64decode(told["images"][1])[4:8] == b"ftyp"
    attention = numbers(told)
    assert attention["attention"].shape == (4, 8, 8) and str(attention["word"]) == "star"
    assert attention["attention"].min() > 0 and abs(attention["attention"].mean() - 1) < 1e-5
    assert unet_hooks(host) == 0
    assert "PIA attention of: star" in told["info"]["infotexts"][0]


def test_what_the_numbers_are_does_not_depend_on_how_the_host_calls_the_unet(host, told):
    with host.options(batch_cond_uncond=False):
        apart = numbers(animate(host, {"formats": ["apng"], "attention_of": "star"}, prompt=PROMPT))
    assert np.abs(apart["attention"] - numbers(told)["attention"]).max() < 1e-5
    long = ", ".join(["many words"] * 60)  # a negative prompt of more chunks is called for itself
    other = numbers(animate(host, {"formats": ["apng"], "attention_of": "star"}, prompt=PROMPT, negative_prompt=long))
    assert other["attention"].shape == (4, 8, 8)


def test_words_are_told_apart_also_behind_the_first_chunk(host, told):
    red = numbers(animate(host, {"formats": ["apng"], "attention_of": "red"}, prompt=PROMPT))
    assert np.abs(red["attention"] - numbers(told)["attention"]).max() > 1e-5
    far = "many words, " * 40 + "fire"
    assert numbers(animate(host, {"formats": ["gif"], "attention_of": "fire"}, prompt=far))["attention"].shape == (
        4,
        8,
        8,
    )


def test_and_prompts_are_read_in_the_part_that_has_the_word(host):
    answer = animate(host, {"formats": ["gif"], "attention_of": "dog"}, prompt="a cat AND a big dog :0.5")
    assert numbers(answer)["attention"].std() > 0


def test_txt2img_and_saved_files(host, tmp_path):
    with host.options(outdir_txt2img_samples=str(tmp_path)):
        answer = animate_text(host, {"formats": ["mp4"], "attention_of": "red star"}, prompt=PROMPT, save_images=True)
    names = sorted(path.name for path in tmp_path.rglob("*.*"))
    assert [name.split("_attention_")[-1] for name in names if "_attention_" in name] == [
        "red_star.mp4",
        "red_star.npz",
    ]
    assert entries(answer)["attention.mp4"]["path"].endswith("_attention_red_star.mp4")


def test_a_chain_reads_every_window_in_its_place(host, monkeypatch):
    """40 frames are windows at 0, 12 and 24: what one of them shares with the one before it is read twice."""
    from lib_pia.host.generation import attention

    readers, original = [], attention.AttentionReader
    monkeypatch.setattr(attention, "AttentionReader", lambda *args: readers.append(original(*args)) or readers[-1])
    plainly = {"formats": ["apng"], "num_frames": 40, "overlap": 4}
    settings = {**plainly, "attention_of": "star"}
    plain, told = (animate(host, each, prompt=PROMPT, steps=1) for each in (plainly, settings))
    animate(host, {**settings, "num_frames": 16}, prompt=PROMPT, steps=1)
    chain, first = readers
    for layer, sums in chain.sums.items():
        assert chain.counts[layer].tolist() == [
            2 if frame in (*range(12, 16), *range(24, 28)) else 1 for frame in range(40)
        ]
        assert torch.equal(sums[:12], first.sums[layer][:12])
        assert len({tuple(frame.tolist()) for frame in sums}) == 40
    assert torch.equal(torch.from_numpy(numbers(told)["attention"]), chain.maps()) and len(chain.sums) == 3
    assert [shown.tobytes() for shown in moving(told["images"][0])] == [f.tobytes() for f in moving(plain["images"][0])]
    assert clip_info(base64.b64decode(told["images"][1])).frames == 40 and unet_hooks(host) == 0


def test_two_clips_have_their_own(host):
    answer = animate(host, {"formats": ["gif"], "attention_of": "star"}, prompt=PROMPT, n_iter=2)
    assert [(f["clip"], f["format"]) for f in answer["info"]["pia"]][2::3] == [
        (0, "attention.npz"),
        (1, "attention.npz"),
    ]


@pytest.mark.parametrize(
    "settings, prompt, said",
    [
        ({"attention_of": "fire"}, PROMPT, "'fire', which is not in the prompt"),
        ({"attention_of": "star"}, "a [red:blue:0.5] star", "cannot follow a prompt that changes"),
        ({"attention_of": 3}, PROMPT, "must be a word of the prompt"),
    ],
)
def test_what_cannot_be_read_is_refused(host, settings, prompt, said):
    with pytest.raises(HostResponseError) as refused:
        animate(host, settings, prompt=prompt)
    assert refused.value.status == 422 and said in json.dumps(refused.value.body)
    assert unet_hooks(host) == 0


def test_numbers_that_cannot_be_written_lose_nothing(host, monkeypatch):
    from lib_pia.host.delivery import attention

    monkeypatch.setattr(attention.np, "savez_compressed", lambda *args, **kw: (_ for _ in ()).throw(OSError("full")))
    answer = animate(host, {"formats": ["gif"], "attention_of": "star"}, prompt=PROMPT)
    assert "full" in entries(answer)["attention.mp4"]["error"] and len(answer["images"]) == 1
