from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_pia.checkpoint import load_pia_model
from tests import tiny_models


@pytest.fixture(scope="session")
def golden():
    return load_file(Path(__file__).with_name("goldens.safetensors"))


@pytest.fixture(scope="session")
def unet():
    return tiny_models.tiny_unet()


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("pia") / "pia.ckpt"
    torch.save(tiny_models.official_pia(), path)
    return load_pia_model(path)


@pytest.fixture(scope="session")
def diffusers_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("pia") / "diffusers.safetensors"
    save_file({k: v.contiguous() for k, v in tiny_models.diffusers_pia().items()}, path)
    return load_pia_model(path)
