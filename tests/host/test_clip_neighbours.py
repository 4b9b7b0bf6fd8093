"""Scenario 13: other extensions in the same UNet."""
from __future__ import annotations

import types

import torch
from PIL import Image

from tests.host.clips import Watcher, animate, animate_text, distance, still


def test_an_extension_that_replaces_the_unets_forward(host):
    """As ControlNet does: `forward` on the instance, calling the original."""
    unet = host.shared.sd_model.model.diffusion_model
    watcher, calls = Watcher(host), []
    original = unet.forward

    def forward(self, x, *args, **kwargs):
        calls.append(len(x))
        return original(x, *args, **kwargs)

    with host.script(watcher):
        plain, picture_ = animate(host)["images"], still(host)
        unet.forward = types.MethodType(forward, unet)
        try:
            assert animate(host)["images"] == plain and calls == [8, 8]
            assert unet.forward.__func__ is forward             # theirs is still there
            assert still(host) == picture_
        finally:
            del unet.forward
    assert animate(host)["images"] == plain


def test_an_extension_that_appends_to_blocks(host):
    """As AnimateDiff does: a module more in a block; ours keep their places."""
    class Damped(torch.nn.Module):
        def forward(self, x, *args):
            return x * 0.9

    block = host.shared.sd_model.model.diffusion_model.input_blocks[4]
    plain, watcher = animate(host)["images"], Watcher(host)
    with host.script(watcher):
        animate(host)
        block.append(Damped())
        try:
            animate(host)
            assert isinstance(block[-1], Damped)
        finally:
            del block[-1]
    assert distance(watcher.latents[1], watcher.latents[0]) > 1e-3
    assert animate(host)["images"] == plain


def test_an_extension_that_wraps_p_sample_on_the_instance(host):
    """As ControlNet does in `process`: its wrapper runs inside ours, and stays."""
    watcher, calls = Watcher(host), []

    def wrap(p):
        sample = p.sample

        def wrapped(*args, **kwargs):
            calls.append(p.batch_size)
            return sample(*args, **kwargs)

        p.sample = wrapped

    watcher.hooks["process"] = wrap
    plain = animate(host)["images"], animate_text(host)["images"]
    with host.script(watcher):
        assert (animate(host)["images"], animate_text(host)["images"]) == plain
    assert calls == [4, 1, 4]                                   # img2img's clip; txt2img's still picture, then its clip


def test_an_extension_that_puts_pictures_behind_the_frames(host):
    """As ControlNet does with its detected maps: as many as frames, or a multiple of them, before PIA cuts clips."""
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
        for runner in runners:                                  # it comes before PIA, as its folder's name does
            for scripts in (runner.scripts, runner.alwayson_scripts):
                scripts.insert(0, scripts.pop(scripts.index(maps)))
        for maps.count in (1, 4, 8):
            assert animate(host)["images"] == plain
            with host.options(return_mask=True, return_mask_composite=True):
                assert animate(host, **masked)["images"] == inpainted
