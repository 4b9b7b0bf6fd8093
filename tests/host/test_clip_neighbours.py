"""Scenario 13: other extensions in the same UNet."""
from __future__ import annotations

import types

import torch

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
