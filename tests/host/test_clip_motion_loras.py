"""`motion_loras`: merged into a copy of the PIA model for one clip, and a tag of one in the prompt."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from demo.minihost import HostResponseError
from tests import tiny_models
from tests.host.clips import animate, distance, watching


@pytest.fixture
def lora(models):
    """lora(folder): the name of a motion LoRA in models/FOLDER that changes every attention to q."""
    made = []

    def save(folder="PIA", name="pan left"):
        noise = torch.Generator().manual_seed(5)
        tensors = {}
        for key, weight in tiny_models.official_pia().items():
            if key.endswith(".to_q.weight"):
                stem = key.replace("to_q.weight", "processor.to_q_lora")
                tensors[f"{stem}.down.weight"] = torch.randn(2, weight.shape[1], generator=noise)
                tensors[f"{stem}.up.weight"] = torch.randn(weight.shape[0], 2, generator=noise)
        path = models.folder / folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)
        made.append(path)
        return name

    yield save
    for path in made:
        path.unlink()


@pytest.fixture
def latents(host):
    with watching(host) as run:
        yield run


@pytest.mark.parametrize("folder", ["PIA", "Lora", "PIA/motion"])
def test_it_changes_the_clip_by_its_weight_and_is_gone_afterwards(latents, lora, folder):
    name, plain = lora(folder), latents()
    clips = [latents({"motion_loras": [{"name": name, "weight": weight}]}) for weight in (0, 0.5, 1)]
    assert torch.equal(clips[0], plain)
    assert distance(clips[1], plain) > 0 and distance(clips[2], clips[1]) > 1e-3
    assert torch.equal(latents({"motion_loras": f"<{name}:1>"}), clips[2])
    assert torch.equal(latents(), plain)


def test_the_infotext_names_it(host, lora):
    answer = animate(host, {"motion_loras": [{"name": lora(), "weight": 0.5}]}, steps=1)
    assert "PIA motion LoRA: " in answer["info"]["infotexts"][0] and "<pan left:0.5>" in answer["info"]["infotexts"][0]


@pytest.mark.parametrize("folder", ["PIA", "Lora"])
def test_its_tag_in_the_prompt_says_what_to_do(host, lora, folder):
    name = lora(folder)
    with pytest.raises(HostResponseError, match=r"pan left is a motion LoRA, .* Motion LoRA .* to <pan left:0.7>\."):
        animate(host, prompt=f"a cat <lora:{name}:0.7>")


def test_an_ordinary_lora_is_none_and_its_tag_works(host, models, latents):
    name = models.lora()
    assert distance(latents(prompt=f"a cat <lora:{name}:1>"), latents()) > 1e-3
    with pytest.raises(HostResponseError, match=r"tiny-lora.safetensors is not a .*: it is another kind of LoRA"):
        animate(host, {"motion_loras": [{"name": name}]})


def test_one_that_is_not_there(host):
    with pytest.raises(HostResponseError, match="The motion LoRA tilt is neither in .*PIA nor in .*Lora; put the file"):
        animate(host, {"motion_loras": [{"name": "tilt"}]})
