"""Extensions that cannot share a clip are refused by name before they start; docs/NEIGHBOURS.md has what was tried in
the WebUI."""

from __future__ import annotations

import contextlib
import types

import pytest
from PIL import Image

from demo.minihost import HostResponseError
from tests.host.clips import Watcher, animate, animate_text, frames, still

REGIONS = [False, "Matrix", "Columns", "Mask", "Prompt", "1,1", "0.2", False, False, False]


class Panel:
    """AnimateDiff's page gives an object of its own class."""

    def __init__(self, enable):
        self.enable = enable


@contextlib.contextmanager
def neighbour(host, title, args):
    """A script with this title, whose arguments are these in every request; gives the arguments that it was started
    with."""
    started = []

    class Script(host.scripts.Script):
        def title(self):
            return title

        def show(self, is_img2img):
            return host.scripts.AlwaysVisible

        def before_process(self, p, *given):
            started.append(given)

    script = Script()
    names = "default_script_arg_txt2img", "default_script_arg_img2img"
    before = {name: getattr(host.api, name) for name in names}
    with host.script(script):
        script.args_from = max(map(len, before.values()))
        script.args_to = script.args_from + len(args)
        try:
            for name, values in before.items():
                setattr(host.api, name, [*values, *[None] * (script.args_from - len(values)), *args])
            yield started
        finally:
            for name, values in before.items():
                setattr(host.api, name, values)


CANNOT = [
    (
        "AnimateDiff",
        [{"enable": True, "model": "mm"}],
        [{"enable": False, "model": "mm"}],
        "AnimateDiff and PIA",
        animate,
    ),
    ("AnimateDiff", [{"enable": True}], [{"enable": False}], "AnimateDiff and PIA", animate_text),
    (
        "Tiled Diffusion",
        [True, "MultiDiffusion"],
        [False, "MultiDiffusion"],
        "Tiled Diffusion gives the UNet pieces",
        animate,
    ),
    ("DemoFusion", [True, "DemoFusion"], [False, "DemoFusion"], "DemoFusion gives the UNet pieces", animate),
    (
        "Dynamic Prompts v2.17.1",
        [True, True, 1],
        [False, True, 1],
        "Dynamic Prompts' combinatorial generation",
        animate_text,
    ),
    (
        "Regional Prompter",
        [True, *REGIONS, "Attention"],
        [False, *REGIONS, "Attention"],
        "Regional Prompter's Attention",
        animate_text,
    ),
]


@pytest.mark.parametrize("title, args, off, sentence, clip", CANNOT)
def test_refused_before_it_starts(host, title, args, off, sentence, clip):
    with neighbour(host, title, args) as started:
        with pytest.raises(HostResponseError) as error:
            clip(host)
        assert error.value.status == 422 and error.value.body["detail"].startswith(sentence)
        assert "\n" not in error.value.body["detail"] and error.value.body["detail"].endswith(".")
        assert started == [tuple(off)]  # nothing of it can be left in the UNet
        started.clear()
        still(host)  # without PIA it starts as ever
        assert started == [tuple(args)]


@pytest.mark.parametrize(
    "title, args, clip",
    [
        ("AnimateDiff", [{"enable": False}], animate),
        ("Dynamic Prompts v2.17.1", [True, False, 1], animate_text),
        ("Regional Prompter", [True, *REGIONS, "Latent"], animate_text),
        ("Regional Prompter", [True, *REGIONS, "Attention"], animate),
        ("Regional Prompter", [False, *REGIONS, "Attention"], animate_text),
    ],
)
def test_what_works_is_left_alone(host, title, args, clip):
    alone = clip(host)["images"]
    with neighbour(host, title, args) as started:
        assert clip(host)["images"] == alone
        assert started == [tuple(args)]


def test_an_object_of_the_page(host):
    """The object itself is the page's and stays as it is."""
    panel = Panel(True)
    with neighbour(host, "AnimateDiff", [panel]) as started:
        with pytest.raises(HostResponseError):
            animate(host)
        assert started[0][0].enable is False and panel.enable is True
    with neighbour(host, "AnimateDiff", [Panel(False)]):
        assert len(animate(host)["images"]) == 4


def test_a_clip_that_is_switched_off_keeps_nobody_from_starting(host):
    with neighbour(host, "AnimateDiff", [{"enable": True}]) as started:
        animate(host, {"enabled": False})
    assert started == [({"enable": True},)]


def test_a_changed_number_of_pictures(host):
    """An extension that makes other prompts than were asked for would mix frames of two clips."""
    usual, watcher = animate(host)["images"], Watcher(host)

    def two(p):
        p.all_prompts = p.all_prompts[:2]

    def many(p):
        p.n_iter = 3

    for change, got in ((two, 2), (many, 4)):
        watcher.hooks["process"] = change
        with host.script(watcher), pytest.raises(HostResponseError) as error:
            animate(host)
        assert error.value.status == 422
        assert error.value.body["detail"].startswith(
            f"Another extension changed the number of pictures from 4 to {got}"
        )
    assert animate(host)["images"] == usual and frames(animate(host)).shape[0] == 4


def test_pictures_that_are_put_behind_the_frames(host):
    """As ControlNet does with its detected maps before PIA cuts the pictures into clips: as many as frames, or a
    multiple of them."""

    class Maps(host.scripts.Script):
        count = 0

        def title(self):
            return "Maps"

        def show(self, is_img2img):
            return host.scripts.AlwaysVisible

        def postprocess(self, p, processed, *args):
            processed.images.extend(Image.new("RGB", (64, 64)) for _ in range(self.count))

    maps, runners = Maps(), (host.scripts.scripts_txt2img, host.scripts.scripts_img2img)
    plain, masked = animate(host)["images"], {"mask": host.base64(Image.new("L", (64, 64), 255))}
    with host.options(return_mask=True, return_mask_composite=True):
        inpainted = animate(host, **masked)["images"]
    with host.script(maps):
        for runner in runners:  # it comes before PIA, as its folder's name does
            runner.alwayson_scripts.insert(0, runner.alwayson_scripts.pop())
        for maps.count in (1, 4, 8):
            assert animate(host)["images"] == plain
            with host.options(return_mask=True, return_mask_composite=True):
                assert animate(host, **masked)["images"] == inpainted


class Adapter:
    """An IP-Adapter of sd-webui-controlnet: what it computed for the rows of one call it uses in those after it."""

    def __init__(self):
        self.cache, self.wrong = {}, 0

    def __call__(self, module, args):
        rows = self.cache.setdefault("1_to_k_ip", len(args[0]))
        self.wrong += rows != len(args[0])


@pytest.mark.parametrize("clip", [animate, animate_text])
def test_an_ip_adapter_computes_its_keys_anew_for_a_still_and_for_its_clip(host, clip):
    adapter = Adapter()

    class Script(host.scripts.Script):
        latest_network = types.SimpleNamespace(control_params=[types.SimpleNamespace(control_model=adapter)])

        def title(self):
            return "ControlNet"

        def show(self, is_img2img):
            return host.scripts.AlwaysVisible

    with host.script(Script()), host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(adapter):
        clip(host, n_iter=2)
        assert adapter.cache["1_to_k_ip"] == 8 and adapter.wrong == 0
