"""Infotext there and back: what a clip says of itself makes the same clip again."""

from __future__ import annotations

import pytest

from lib_pia.settings import FIELDS, PIASettings

from .clips import BASE, MANY_FIELDS, TITLE, animate
from .pictures import encoded, picture, pixels

CURVE = {"num_frames": 4, "affinity": [1.0, 0.3, 0.75]}


@pytest.mark.parametrize("settings", [MANY_FIELDS, CURVE, {}], ids=["all", "curve", "four frames"])
def test_every_field_is_read_back(host, settings):
    answer = animate(host, settings, steps=1)
    told = host.post("/sdapi/v1/png-info", image=answer["images"][0])
    read = PIASettings.from_infotext({key: str(value) for key, value in told["parameters"].items()})
    wanted = PIASettings.from_dict({"num_frames": 4, "formats": ["png"], **settings, "model": read.model})
    assert read == wanted and told["info"] == answer["info"]["infotexts"][0]


@pytest.mark.real
def test_a_request_with_a_clips_infotext_and_no_settings_gives_the_same_clip(host):
    first = animate(host, CURVE)
    start = {**BASE, "init_images": [encoded(picture())], "denoising_strength": 0.6}
    request = {**start, "infotext": first["info"]["infotexts"][0]}
    again = host.generate("img2img", request)
    assert [pixels(text) for text in again["images"]] == [pixels(text) for text in first["images"]]
    assert again["info"]["pia"][0]["affinity"] == first["info"]["pia"][0]["affinity"]


def test_infotext_of_an_ordinary_picture_animates_nothing(host):
    infotext = host.generate("txt2img", BASE)["info"]["infotexts"][0]
    answer = host.generate("txt2img", {**BASE, "infotext": infotext})
    assert "pia" not in answer["info"] and len(answer["images"]) == 1


def test_both_tabs_have_every_field_in_the_api(host):
    found = [script for script in host.get("/sdapi/v1/script-info") if script["name"] == TITLE.lower()]
    assert [script["is_img2img"] for script in found] == [False, True]
    assert [arg["label"] for arg in found[0]["args"]] == [field.label for field in FIELDS]
