"""Other extensions in the same UNet and in the same request (stand-ins: see pia_probe.neighbours)."""

from __future__ import annotations

import pytest

from .clips import animate, animate_text, distance, latents, unpacked

pytestmark = pytest.mark.usefixtures("unharmed")


def told(host, name, how=animate, **request):
    """The answer of a clip beside the neighbour `name`, and what the neighbour tells."""
    answer = how(host, None, {"neighbours": [name], "latents": True}, **request)
    return answer, host.probed()


def test_an_extension_that_replaces_the_unets_forward(host, usual):
    answer, seen = told(host, "forward")
    assert answer["images"] == usual[1]
    assert seen["neighbours"] == {"forward": [8, 8], "forward kept": [True]}


def test_an_extension_that_appends_to_blocks(host):
    _, seen = told(host, "append")
    assert seen["neighbours"] == {"append kept": [True]}
    assert distance(unpacked(seen["latents"][-1]), latents(host)) > 1e-3


@pytest.mark.parametrize("how, calls", [(animate, [4]), (animate_text, [1, 4])], ids=["img2img", "txt2img"])
def test_an_extension_that_wraps_p_sample_on_the_instance(host, how, calls):
    """Its wrapper runs inside ours, and stays: once for the clip, in txt2img for the still picture too."""
    answer, seen = told(host, "wrap_sample", how)
    assert answer["images"] == how(host)["images"] and seen["neighbours"] == {"wrap_sample": calls}


def test_an_extension_that_generates_from_a_copy_in_the_middle_of_a_clip(host):
    """Its own generation is an ordinary picture, and the clip is a clip."""
    answer, seen = told(host, "inner")
    assert seen["neighbours"] == {"inner": [[1, False, [64, 64]]]}
    assert len(answer["info"]["pia"]) == 4


def test_an_extension_that_adds_to_the_result(host):
    answer, _ = told(host, "map")
    assert answer["images"][:4] == animate(host)["images"] and len(answer["info"]["pia"]) == 4


@pytest.mark.parametrize("neighbour", ["forward", "append", "wrap_sample"])
def test_a_failure_beside_a_neighbour(host, neighbour):
    from .client import AnswerError

    fault = {"point": "unet", "call": 2, "message": "the UNet broke"}
    with pytest.raises(AnswerError) as error:
        animate(host, None, {"neighbours": [neighbour], "fault": fault}, steps=3)
    assert "the UNet broke" in error.value.body["errors"]
