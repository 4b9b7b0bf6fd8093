"""Motion LoRA: read under every name that they come with, checked, and merged into a copy of a PIA model."""

import pytest
import torch
from safetensors.torch import save_file

from lib_pia.checkpoint import is_motion_lora, read_motion_lora, with_motion_loras
from lib_pia.errors import CheckpointError
from lib_pia.model import PIAModel

CHANNELS, RANK = (32, 64, 64, 64), 4
PLACE = "down_blocks.1.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1."
OFFICIAL = {
    f"{PLACE}processor.to_{layer}_lora.{side}.weight": torch.randn(*((RANK, 64) if side == "down" else (64, RANK)))
    for layer in ("q", "out")
    for side in ("down", "up")
}
TARGETS = {f"{PLACE}to_q.weight": "q", f"{PLACE}to_out.0.weight": "out"}


def parts(layer):
    return tuple(OFFICIAL[f"{PLACE}processor.to_{layer}_lora.{side}.weight"] for side in ("down", "up"))


def renamed(*changes):
    out = dict(OFFICIAL)
    for old, new in changes:
        out = {name.replace(old, new): tensor for name, tensor in out.items()}
    return out


SPELLINGS = {
    "official": OFFICIAL,
    "wrapped": {f"module.{name}": tensor for name, tensor in OFFICIAL.items()},
    "without processor": renamed(("processor.", "")),
    "diffusers": renamed(("temporal_transformer.", ""), ("attention_blocks.1", "attn2"), ("down_bl", "unet.down_bl")),
    "peft": renamed(("temporal_transformer.", ""), ("attention_blocks.1.processor", "attn2"),
                    ("to_out_lora", "to_out.0"), ("_lora", ""), (".down.", ".lora_A."), (".up.", ".lora_B.")),
    "with v2's middle": OFFICIAL | {name.replace("down_blocks.1", "mid_block"): torch.randn(2, 2) for name in OFFICIAL},
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return PIAModel(CHANNELS).eval().requires_grad_(False)


@pytest.fixture
def saved(tmp_path):
    def save(tensors, name="pan.safetensors"):
        save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_read(saved, spelling):
    path = saved(SPELLINGS[spelling])
    found = read_motion_lora(path)
    assert is_motion_lora(path) and set(found) == set(TARGETS)
    for target, layer in TARGETS.items():
        assert all(torch.equal(a, b) for a, b in zip(found[target], parts(layer)))


def test_a_pickle_is_read(tmp_path):
    torch.save({"state_dict": OFFICIAL}, tmp_path / "pan.ckpt")
    assert set(read_motion_lora(tmp_path / "pan.ckpt")) == set(TARGETS)


def test_they_are_added_to_a_copy(saved, model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    path = saved(OFFICIAL)
    merged = with_motion_loras(model, [(path, 0.5), (path, 0.25)])
    for name, tensor in merged.state_dict().items():
        if name not in TARGETS:
            assert tensor.data_ptr() == model.state_dict()[name].data_ptr()
            continue
        down, up = parts(TARGETS[name])
        assert torch.allclose(tensor, before[name] + 0.75 * up @ down, atol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not merged.training and not any(p.requires_grad for p in merged.parameters())
    zero = with_motion_loras(model, [(path, 0.0)])
    assert all(torch.equal(tensor, before[name]) for name, tensor in zero.state_dict().items())


def test_half_precision_stays_and_is_added_in_full(saved, model):
    half = with_motion_loras(model, []).half()
    merged = with_motion_loras(half, [(saved(OFFICIAL), 1.0)])
    assert {tensor.dtype for tensor in merged.state_dict().values()} == {torch.float16}


FIRST = next(iter(OFFICIAL))
WRONG = {
    "a LoRA of the UNet": ({"lora_unet_x.lora_down.weight": torch.ones(2, 2)}, "is not .*: it is another kind of LoRA"),
    "something else": ({"a": torch.ones(2)}, r"is not a motion LoRA: it is .* \(it holds a\)\. Choose a motion LoRA"),
    "alpha": (OFFICIAL | {FIRST.replace("down.weight", "alpha"): torch.ones(1)}, "is not a motion LoRA: .*alpha"),
    "the middle alone": ({FIRST.replace("down_blocks.1", "mid_block"): torch.ones(2, 2)}, "holds nothing for PIA"),
    "half of a pair": ({FIRST: OFFICIAL[FIRST]}, "is broken: .*to_q.weight has only one of down and up"),
    "ranks": (OFFICIAL | {FIRST: torch.ones(3, 64)}, r"is broken: down \[3, 64\] and up \[64, 4\]"),
    "NaN": (OFFICIAL | {FIRST: torch.full((RANK, 64), float("nan"))}, "holds NaN or infinite weights"),
    "widths": (OFFICIAL | {FIRST: torch.ones(RANK, 320)}, r"does not fit .* of 64x320, and there it is 64x64\."),
    "levels": (renamed(("down_blocks.1", "down_blocks.7")), "does not fit .* and there it is not there"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_used_is_a_sentence(saved, model, wrong):
    tensors, sentence = WRONG[wrong]
    with pytest.raises(CheckpointError, match=sentence):
        with_motion_loras(model, [(saved(tensors), 1.0)])


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "a.pt").write_text("hello")
    assert not is_motion_lora(tmp_path / "a.pt") and not is_motion_lora(tmp_path / "b.pt")
    with pytest.raises(CheckpointError):
        read_motion_lora(tmp_path / "a.pt")
