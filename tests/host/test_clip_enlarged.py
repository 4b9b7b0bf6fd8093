"""`upscale`: the finished frames enlarged by one of the host's upscalers; all frames of a clip have one size."""

from __future__ import annotations

import types

import numpy as np
import pytest
from PIL import Image

from demo.minihost import HostResponseError
from tests.host.clips import SIZE, animate, frames, opened


def sizes(answer):
    return {opened(text).size for text in answer["images"]}


def failure(answer):
    return next(file["error"] for file in answer["info"]["pia"] if file["format"] == "upscale")


@pytest.fixture
def upscaler(host, monkeypatch):
    """upscaler(act): one more upscaler of the host, called "Mine", that does `act(number of the call)` first."""

    def add(act=lambda number: None):
        calls = []

        def upscale(img, scale, selected_model=None):
            calls.append((img.size, scale, selected_model))
            act(len(calls))
            return Image.new("RGBA", (int(img.width * scale), int(img.height * scale)), "#0000ff")

        mine = types.SimpleNamespace(name="Mine", data_path="mine.pth", scaler=types.SimpleNamespace(upscale=upscale))
        monkeypatch.setattr(host.shared, "sd_upscalers", [*host.shared.sd_upscalers, mine])
        return calls

    return add


def test_frames_are_enlarged_by_the_named_upscaler(host):
    small = animate(host, steps=1)
    for name, resample in (("Lanczos", Image.LANCZOS), ("Nearest", Image.NEAREST)):
        large = animate(host, {"upscale": 2, "upscaler": name}, steps=1)
        for a, b in zip(small["images"], large["images"]):
            wanted = opened(a).convert("RGB").resize((2 * SIZE, 2 * SIZE), resample)
            assert np.array_equal(np.asarray(opened(b)), np.asarray(wanted))
    assert [file["width"] for file in large["info"]["pia"]] == [2 * SIZE] * 4
    assert "PIA upscale: 2.0, PIA upscaler: Nearest" in large["info"]["infotexts"][0]


def test_the_model_of_an_upscaler_is_handed_to_it(host, upscaler):
    calls = upscaler()
    answer = animate(host, {"upscale": 1.5, "upscaler": "Mine"}, steps=1)
    assert calls == [((SIZE, SIZE), 1.5, "mine.pth")] * 4
    assert (frames(answer) == (0, 0, 255)).all() and sizes(answer) == {(96, 96)}


def test_without_a_scale_nobody_is_called(host, upscaler):
    calls = upscaler()
    named, plain = animate(host, {"upscaler": "Mine"}, steps=1), animate(host, steps=1)
    assert np.array_equal(frames(named), frames(plain)) and calls == []


def test_it_comes_after_the_colour_match_and_before_interpolation(host, upscaler):
    upscaler()
    answer = animate(host, {"upscale": 2, "upscaler": "Mine", "color_match": 1.0, "interpolate": 2}, steps=1)
    assert len(answer["images"]) == 7 and sizes(answer) == {(128, 128)}
    assert np.abs(frames(answer) - (0, 0, 255)).max() < 8  # ffmpeg's interpolation goes by another colour space


@pytest.mark.parametrize("button", ["interrupted", "skipped"])
def test_interrupted_all_frames_keep_their_size(host, upscaler, button):
    plain = animate(host, steps=1)
    calls = upscaler(lambda number: setattr(host.shared.state, button, number == 2))
    answer = animate(host, {"upscale": 2, "upscaler": "Mine"}, steps=1)
    assert np.array_equal(frames(answer), frames(plain)) and len(calls) == 2
    assert failure(answer) == "Interrupted: the clip is delivered without enlarging."


def test_an_upscaler_that_fails_loses_nothing(host, upscaler):
    def fail(number):
        if number == 3:
            raise RuntimeError("no memory\nmore")

    upscaler(fail)
    answer = animate(host, {"upscale": 2, "upscaler": "Mine"}, steps=1)
    assert np.array_equal(frames(answer), frames(animate(host, steps=1)))
    sentence = "The clip was not enlarged: Mine failed (no memory); choose another upscaler or a smaller scale."
    assert failure(answer) == sentence


def test_a_clip_that_goes_on_has_one_size(host):
    small = animate(host, {"formats": ["webp"]}, steps=1)["images"][0]
    large = animate(host, {"formats": ["webp"], "upscale": 2}, steps=1)["images"][0]
    for clip, size in ((small, 128), (large, 128)):
        answer = animate(host, {"continue_from": clip, "upscale": 2}, steps=1)
        assert len(answer["images"]) == 8 and sizes(answer) == {(size, size)}
    # what was enlarged already is not made small and large again
    again = animate(host, {"continue_from": large, "upscale": 2}, steps=1)
    first = opened(large)
    assert np.array_equal(frames(again)[0], np.asarray(first.convert("RGB")))


def test_an_unknown_upscaler_is_refused_with_the_names(host):
    answer = pytest.raises(HostResponseError, animate, host, {"upscaler": "ESRGAN 9x"}).value
    assert "The upscaler ESRGAN 9x is not there; there are: None, Lanczos, Nearest." in str(answer)


def test_many_names_are_not_all_told(host, monkeypatch):
    from lib_pia.errors import SettingsError
    from lib_pia.host import upscalers

    many = [types.SimpleNamespace(name=f"u{index}") for index in range(20)]
    monkeypatch.setattr(host.shared, "sd_upscalers", many)
    with pytest.raises(SettingsError, match=r"there are: u0, .*u11 and 8 more\."):
        upscalers.find("x")
