"""The check of the host at load, the model cache, lending of attributes, and install.py."""

from __future__ import annotations

import runpy
import sys
import types
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[2]


def test_this_host_has_everything(host):
    from lib_pia.host import contract

    assert list(contract.missing()) == []
    contract.check()


def test_a_host_that_lacks_something_is_told_both_versions(host, monkeypatch):
    from modules import rng

    from lib_pia.errors import HostError
    from lib_pia.host import contract

    monkeypatch.delattr(rng, "ImageRNG")
    monkeypatch.setattr(contract, "installed_version", lambda: "v1.5.2")
    with pytest.raises(HostError) as error:
        contract.check()
    assert str(error.value) == (
        "The PIA extension is made for AUTOMATIC1111 WebUI v1.10.1; this is v1.5.2, which lacks modules.rng.ImageRNG. "
        'Run "git fetch --tags && git checkout v1.10.1" in the WebUI\'s folder.'
    )


def test_the_second_clip_loads_nothing(host):
    from lib_pia.host.models import cache
    from tests.host.clips import animate

    cache.drop()
    before = cache.loads
    animate(host, steps=1)
    animate(host, steps=1)
    assert cache.loads == before + 1


def test_a_changed_file_is_loaded_again(host, models, tmp_path):
    import os
    import shutil

    from lib_pia.host.models import ModelFile, cache

    path = tmp_path / "model.safetensors"
    shutil.copy(models.folder / "PIA" / models.pia(), path)
    file = ModelFile(path.name, str(path))
    first = cache.get(file, torch.float32)
    assert cache.get(file, torch.float32) is first
    os.utime(path, ns=(1, 1))
    second = cache.get(file, torch.float32)
    assert second is not first and cache.get(file, torch.float16) is not second


def test_lending_gives_back_exactly(host):
    from lib_pia.lending import Lent, lent

    class Thing:
        size = 1

    thing = Thing()
    thing.name = None
    with pytest.raises(ValueError), lent(thing, size=2, name="x", new=3):
        assert (thing.size, thing.name, thing.new) == (2, "x", 3)
        raise ValueError
    assert vars(thing) == {"name": None} and thing.size == 1
    loan = Lent(thing).lend(size=2)
    loan.lend(size=3)
    copied = Thing()
    copied.size = 3
    loan.give_back(target=copied)
    assert vars(copied) == {} and thing.size == 3
    assert loan.before("size") == 1
    loan.give_back()
    assert vars(thing) == {"name": None}


@pytest.mark.parametrize("present, wanted", [({"imageio_ffmpeg"}, []), (set(), ["install imageio-ffmpeg"])])
def test_install_installs_what_is_missing(monkeypatch, present, wanted):
    ran = []
    launch = types.SimpleNamespace(
        is_installed=lambda name: name in present, run_pip=lambda command, desc: ran.append(command)
    )
    monkeypatch.setitem(sys.modules, "launch", launch)
    runpy.run_path(str(REPOSITORY / "install.py"))
    assert ran == wanted


def test_the_flag_for_the_model_folder_comes_first(host, monkeypatch, tmp_path):
    import argparse

    from lib_pia.host import models

    parser = argparse.ArgumentParser()
    runpy.run_path(str(REPOSITORY / "preload.py"))["preload"](parser)
    monkeypatch.setattr(
        host.shared.cmd_opts, "pia_dir", parser.parse_args(["--pia-dir", str(tmp_path)]).pia_dir, raising=False
    )
    with host.options(pia_model_dir="/somewhere/else"):
        assert models.model_folder() == tmp_path
