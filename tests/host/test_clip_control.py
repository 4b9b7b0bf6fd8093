"""`control_video`: every frame of a clip is computed with its own control picture."""

from __future__ import annotations

import base64
import contextlib
import io
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demo.minihost import HostResponseError
from lib_pia.settings_fields import FIELDS
from tests.host.clips import animate, animate_text, frames, picture, still

UNIT = {"enabled": True, "module": "none", "model": "control"}


def pictures_of(shades, size=64):
    """Pictures: the i-th is all `shades[i]` but for a pixel."""
    for number, shade in enumerate(shades):
        values = np.full((size, size, 3), shade, np.uint8)
        values[0, 0] = number  # Pillow makes one frame of equal ones
        yield Image.fromarray(values)


def clip_of(host, shades, size=64):
    """A clip as base64 (APNG): frame i is all `shades[i]`."""
    frames = list(pictures_of(shades, size))
    buffer = io.BytesIO()
    frames[0].save(buffer, format="PNG", save_all=True, append_images=frames[1:], duration=125, loop=0)
    return base64.b64encode(buffer.getvalue()).decode()


class Params:
    """What ControlNet keeps of one unit."""

    def __init__(self, hint):
        self.hint_cond, self.hr_hint_cond = hint, None


class Unit:
    """A unit as the page gives it."""

    def __init__(self, **values):
        self.image = self.input_image = self.batch_images = self.ipadapter_input = None
        self.animatediff_batch = False
        self.__dict__.update(values)


@contextlib.contextmanager
def controlnet(host, *units, doubled=True):
    """Stands in for sd-webui-controlnet: reads its units' folders at `process`, and its forward adds the mean of each
    row's hint to the latent. Gives what its forward was shown: per call a list of one shade per row."""
    shown = []

    class Script(host.scripts.Script):
        latest_network = None

        def title(self):
            return "ControlNet"

        def show(self, is_img2img):
            return host.scripts.AlwaysVisible

        def process(self, p, *args):
            params = []
            for unit in p.script_args[self.args_from : self.args_to]:
                field = unit.get if isinstance(unit, dict) else lambda name, unit=unit: getattr(unit, name, None)
                if field("animatediff_batch"):
                    files = sorted(Path(field("batch_images")).iterdir())
                    hint = torch.stack(
                        [
                            torch.from_numpy(np.asarray(Image.open(file)).astype(np.float32)).permute(2, 0, 1)
                            for file in files
                        ]
                    )
                    params.append(Params(torch.cat([hint] * 2) if doubled else hint))
                elif field("enabled"):
                    params.append(Params(torch.full((1, 3, 8, 8), 99.0)))
            Script.latest_network = self.latest_network = types.SimpleNamespace(control_params=params)
            unet = host.shared.sd_model.model.diffusion_model
            original = unet.forward

            def forward(self_, x, *more, **named):
                for param in params:
                    hint = param.hint_cond
                    if len(hint) > 1:
                        shown.append(hint.mean((1, 2, 3)).round().tolist())
                    x = x + hint.mean((1, 2, 3)).reshape(-1, 1, 1, 1) / 255
                return original(x, *more, **named)

            unet.forward = types.MethodType(forward, unet)

        def postprocess(self, p, processed, *args):
            vars(host.shared.sd_model.model.diffusion_model).pop("forward", None)

    script = Script()
    names = "default_script_arg_txt2img", "default_script_arg_img2img"
    before = {name: getattr(host.api, name) for name in names}
    with host.script(script):
        script.args_from = max(map(len, before.values()))
        script.args_to = script.args_from + len(units)
        try:
            for name, values in before.items():
                setattr(host.api, name, [*values, *[None] * (script.args_from - len(values)), *units])
            yield shown
        finally:
            for name, values in before.items():
                setattr(host.api, name, values)
            vars(host.shared.sd_model.model.diffusion_model).pop("forward", None)


SHADES = [10, 60, 110, 160]


@pytest.fixture(scope="module")
def before(host):
    """A clip and a picture without control."""
    return animate(host)["images"], still(host)


@pytest.mark.parametrize(
    "unit, doubled",
    [(UNIT, True), (UNIT, False), (Unit(**UNIT), True), (Unit(**UNIT, image={"image": None, "mask": None}), False)],
    ids=["api", "api, once", "page", "page, empty"],
)
def test_every_frame_has_its_own_picture(host, before, unit, doubled):
    plain, off = before
    with controlnet(host, unit, doubled=doubled) as shown:
        first = animate(host, control_video := {"control_video": clip_of(host, SHADES)})["images"]
        assert shown and all(call == SHADES * 2 for call in shown)
        assert animate(host, control_video)["images"] == first != plain
        if isinstance(unit, Unit):
            assert unit.batch_images is None and unit.animatediff_batch is False  # the page's own object
    assert animate(host)["images"] == plain and still(host) == off
    assert not host.shared.sd_model.model.diffusion_model._forward_pre_hooks


def test_a_list_of_pictures_is_the_clip_of_them(host):
    pictures = [host.base64(made) for made in pictures_of(SHADES)]
    with controlnet(host, UNIT) as shown:
        answer = animate(host, {"control_video": pictures})
        assert shown and all(call == SHADES * 2 for call in shown)
        assert np.array_equal(frames(answer), frames(animate(host, {"control_video": clip_of(host, SHADES)})))
    assert "PIA control clip: 4 pictures " in answer["info"]["infotexts"][0]


def test_large_pictures_are_shrunk(host, monkeypatch):
    from lib_pia.host.generation import control

    monkeypatch.setattr(control, "MAX_SIDE", 32)
    given = tuple(host.base64(made) for made in (picture(64, 48), picture(16, 24)))
    assert [frame.size for frame in control._frames(given, 2)] == [(32, 24), (16, 24)]


def test_pictures_of_the_page_are_taken_in_the_order_of_their_names(host, tmp_path):
    from lib_pia.host.generation.request import settings_from_args

    files = []
    for name in ("m² take 10.png", "m² take 9.png", "m² take 1.png"):
        (tmp_path / name).write_bytes(name.encode())
        files.append(types.SimpleNamespace(name=str(tmp_path / name), orig_name=f"/upload/12ab/{name}"))
    values = {field.name: field.default for field in FIELDS} | {"enabled": True}

    def read(given):
        given = settings_from_args(list((values | {"control_video": given}).values())).control_video
        texts = [given] if isinstance(given, str) else given or []
        return [base64.b64decode(text).decode() for text in texts]

    assert read(files) == ["m² take 1.png", "m² take 9.png", "m² take 10.png"]
    assert read(files[:1]) == read(files[0]) == ["m² take 10.png"] and read(None) == read([]) == []


def test_calls_of_one_part_and_several(host):
    """Cond and uncond apart, no guidance, and AND: rows are whole clips each time."""
    with controlnet(host, UNIT) as shown:
        with host.options(batch_cond_uncond=False):
            animate(host, {"control_video": clip_of(host, SHADES)}, steps=1)
        assert shown and all(call == SHADES for call in shown)
        shown.clear()
        animate(host, {"control_video": clip_of(host, SHADES)}, cfg_scale=1.0, steps=1)
        animate(host, {"control_video": clip_of(host, SHADES)}, prompt="a cat AND a dog", steps=1)
        assert shown and all(call == SHADES * (len(call) // 4) for call in shown)


def test_the_still_of_txt2img_follows_its_own_frame(host):
    with controlnet(host, UNIT) as shown:
        animate_text(host, {"control_video": clip_of(host, SHADES), "condition_frame": 2}, steps=1)
    assert shown[0] == [110, 110] and shown[-1] == SHADES * 2


def test_several_clips_and_longer_control(host):
    with controlnet(host, UNIT) as shown:
        animate(host, {"control_video": clip_of(host, [*SHADES, 200, 250])}, n_iter=2, steps=1)
    assert len(shown) == 2 and all(call == SHADES * 2 for call in shown)


def test_a_unit_with_a_picture_keeps_it(host):
    with controlnet(host, {**UNIT, "image": "iVBOR"}, UNIT, {"enabled": False}) as shown:
        animate(host, {"control_video": clip_of(host, SHADES)}, steps=1)
    assert all(call == SHADES * 2 for call in shown) and len(shown) == 1


NO_UNIT = "PIA setting control_video needs a ControlNet unit that is enabled and has no picture"


@pytest.mark.parametrize(
    "units, shades, sentence",
    [
        ([UNIT], SHADES[:3], "PIA setting control_video has 3 frames and the clip 4; give 4 to 512 of them"),
        ([{**UNIT, "enabled": False}], SHADES, NO_UNIT),
        ([{**UNIT, "image": "iVBOR"}], SHADES, NO_UNIT),
        ([{**UNIT, "module": "ip-adapter-auto"}], SHADES, NO_UNIT),
        ([], SHADES, "PIA setting control_video needs the extension sd-webui-controlnet"),
    ],
)
def test_what_cannot_be_followed(host, units, shades, sentence):
    with controlnet(host, *units), pytest.raises(HostResponseError) as error:
        animate(host, {"control_video": clip_of(host, shades)})
    assert error.value.status == 422 and error.value.body["detail"].startswith(sentence), error.value.body
    assert animate(host, steps=1)["images"]


@pytest.mark.parametrize("given", ["a picture", "aGVsbG8=", ["aGVsbG8="] * 4, ["é"] * 4, ["aGVsbG8="] * 513, {"a": 1}])
def test_what_is_no_clip(host, given):
    with controlnet(host, UNIT), pytest.raises(HostResponseError) as error:
        animate(host, {"control_video": host.base64(picture()) if given == "a picture" else given})
    assert error.value.status == 422 and error.value.body["detail"].startswith(
        ("PIA setting control_video", "The clip is not a clip")
    )


def test_controlnet_that_made_nothing(host):
    """Its `process` failed, which the host swallows."""

    def nothing(*args):
        raise RuntimeError("no such model")

    with controlnet(host, UNIT):
        script = host.scripts.scripts_img2img.alwayson_scripts[-1]
        type(script).process = nothing
        with pytest.raises(HostResponseError) as error:
            animate(host, {"control_video": clip_of(host, SHADES)})
    assert error.value.body["detail"].startswith("ControlNet made nothing of control_video")


def test_a_chain_shows_each_window_its_own_frames(host):
    shades = [10 * i for i in range(9)]
    with controlnet(host, UNIT) as shown:
        answer = animate(host, {"num_frames": 9, "window": 8, "overlap": 2, "control_video": clip_of(host, shades)})
    assert len(answer["images"]) == 9
    assert shown == [shades[:8] * 2] * 2 + [shades[1:] * 2] * 2
