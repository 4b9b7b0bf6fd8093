"""`score`: the same numbers as torchmetrics and as cosines written out, on a tiny random CLIP."""

import csv
import importlib
import json

import numpy as np
import pytest
import torch
from PIL import Image

from lib_pia.evaluation.cli import main
from lib_pia.evaluation.clip_features import ClipFeatures, prepared
from lib_pia.evaluation.errors import EvaluationError
from lib_pia.evaluation.intervals import bootstrap_mean, wilson
from lib_pia.evaluation.measures import clip_measures, pixel_measures
from lib_pia.evaluation.run_folder import RunFolder

from .evaluation_toys import make_run

WORDS = ["a", "photo", "depicts", "cat", "smiling", "red", "star", "moving", "left"]
LONG = " ".join(["cat"] * 100)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A CLIP of random weights with a vocabulary of letters, as a folder that transformers reads."""
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(code) for code in range(97, 123)]
    pieces = [*letters, *(letter + "</w>" for letter in letters), "ca", "cat</w>"]
    vocabulary = [*pieces, "<|startoftext|>", "<|endoftext|>"]
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(vocabulary)}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})
    )
    start, end = vocabulary.index("<|startoftext|>"), vocabulary.index("<|endoftext|>")
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(3)
    config = CLIPConfig(
        text_config={
            **small,
            "vocab_size": len(vocabulary),
            "bos_token_id": start,
            "eos_token_id": end,
            "pad_token_id": end,
        },
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    model = CLIPModel(config)
    for value in model.parameters():
        value.data.normal_(0, 0.1 if value.dim() < 2 else 2.5 * value[0].numel() ** -0.5)
    model.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def features(clip_folder):
    return ClipFeatures.load(str(clip_folder), "cpu")


@pytest.fixture(scope="module")
def frames():
    """Coarse patterns of different colours, so that even a random CLIP sees them differently."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (5, 3, 4, 3), dtype=np.uint8) * rng.uniform(0, 1, (5, 1, 1, 3))
    return coarse.astype(np.uint8).repeat(16, 1).repeat(16, 2)


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 48, 3), dtype=np.uint8))


def cosine(a, b):
    return float((a * b).sum() / (a.square().sum().sqrt() * b.square().sum().sqrt()))


def test_against_cosines_written_out(features, frames, picture):
    """Frame by frame and text by text, with transformers' own preprocessing."""
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    model = features.model

    def picture_vector(image):
        pixels = processor(images=image, return_tensors="pt")["pixel_values"]
        return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)[0]

    def text_vector(text):
        ids = torch.tensor([features.tokenizer(text)["input_ids"]])
        return model.text_projection(model.text_model(input_ids=ids).pooler_output)[0]

    with torch.no_grad():
        seen = [picture_vector(Image.fromarray(frame)) for frame in frames]
        image = np.mean([cosine(vector, picture_vector(picture)) for vector in seen])
        text = np.mean([cosine(vector, text_vector("red star")) for vector in seen])
        score = np.mean([2.5 * max(cosine(vector, text_vector("A photo depicts red star")), 0) for vector in seen])
    found = clip_measures(features, frames, picture, "red star")
    assert found["image_alignment"] == pytest.approx(100 * image, abs=2e-3)
    assert found["text_alignment"] == pytest.approx(100 * text, abs=2e-3)
    assert found["clip_score"] == pytest.approx(100 * score, abs=5e-3)
    assert abs(found["text_alignment"]) > 0.5 and abs(found["image_alignment"]) < 99.5


def test_clipscore_takes_no_frame_below_zero_and_uses_the_prefix():
    class Known:
        def pictures(self, pictures):
            return torch.tensor([[0.6, 0.8], [-0.6, 0.8]])[: len(pictures)]

        def texts(self, texts):
            assert texts == ["cat", "A photo depicts cat"]
            return torch.tensor([[0.0, 1.0], [1.0, 0.0]])

    found = clip_measures(Known(), np.zeros((2, 8, 8, 3), np.uint8), Image.new("RGB", (8, 8)), "cat")
    assert found["clip_score"] == pytest.approx(100 * 2.5 * 0.3)
    assert found["text_alignment"] == pytest.approx(80)
    assert found["image_alignment"] == pytest.approx(50 * (1 + 0.28))


class Tensors:
    """A CLIPModel as torchmetrics knows it: features as tensors (transformers 5 gives objects)."""

    def __init__(self, model):
        self.model, self.config = model, model.config

    def to(self, device):
        return self

    def get_image_features(self, pixels):
        found = self.model.get_image_features(pixels)
        return getattr(found, "pooler_output", found)

    def get_text_features(self, ids, mask):
        found = self.model.get_text_features(ids, mask)
        return getattr(found, "pooler_output", found)


@torch.no_grad()
def test_against_torchmetrics(features, frames):
    """torchmetrics' score is 100 x cosine; a batch of frames against one text is our text alignment."""
    from transformers import CLIPImageProcessor, CLIPProcessor

    module = importlib.import_module("torchmetrics.functional.multimodal.clip_score")
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = CLIPProcessor(images, features.tokenizer)
    tensors = [torch.from_numpy(frame).permute(2, 0, 1) for frame in frames]
    for text in ("red star", "cat smiling"):
        theirs = module._clip_score_update(tensors, [text] * len(frames), Tensors(features.model), processor)[0]
        ours = 100 * (features.pictures(frames) @ features.texts([text])[0])
        assert torch.allclose(ours, theirs.float(), atol=2e-3), (ours, theirs)


@torch.no_grad()
def test_a_long_text_is_cut_as_clip_does(features):
    ids = features.tokenizer(LONG)["input_ids"]
    assert (
        len(ids) == 102 and features.is_cut(LONG) and not features.is_cut("cat " * 75) and features.is_cut("cat " * 76)
    )
    kept = torch.tensor([[*ids[:76], ids[-1]]])  # CLIP keeps the start, 75 tokens and the end
    wanted = features.model.text_projection(features.model.text_model(input_ids=kept).pooler_output)[0]
    assert cosine(features.texts([LONG])[0], wanted) == pytest.approx(1, abs=1e-6)


def test_pictures_are_cut_in_the_middle():
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 16:48] = 255
    assert prepared(wide, 32).min() > 1.9  # only the white middle is seen: (1 - mean) / std


@pytest.mark.parametrize("name", ["nobody/nothing", "."])
def test_a_missing_clip_model_is_one_sentence(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EvaluationError, match="is not on this machine.*--clip"):
        ClipFeatures.load(name)


def test_a_clip_model_without_all_its_weights_is_refused(clip_folder, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(clip_folder, tmp_path / "half")
    tensors = load_file(folder / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EvaluationError, match="lacks 1 tensors"):
        ClipFeatures.load(str(folder))


def moving_square(step, frames=6):
    clip = np.zeros((frames, 64, 64, 3), np.uint8)
    texture = np.random.default_rng(3).integers(100, 256, (24, 24, 3), dtype=np.uint8)
    for number in range(frames):
        clip[number, 20:44, 8 + step * number : 32 + step * number] = texture
    return clip


def test_pixel_measures_of_known_clips():
    still = pixel_measures(moving_square(0))
    assert still["frame_difference"] == still["flicker"] == 0 and still["motion"] < 1e-3 and still["warp_error"] < 1e-3
    moving = pixel_measures(moving_square(2))
    assert moving["motion"] > 0.2 and moving["flicker"] < 1e-3
    assert moving["warp_error"] < 0.5 * moving["frame_difference"]  # the flow explains most of the change
    blinking = moving_square(0)
    blinking[1::2] //= 2
    blink = pixel_measures(blinking)
    means = blinking.mean(axis=(1, 2, 3))
    assert blink["flicker"] == pytest.approx(abs(means[0] - means[1]), rel=1e-5)
    black_white = np.stack([np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)])
    assert pixel_measures(black_white)["frame_difference"] == 100 and pixel_measures(black_white)["flicker"] == 0


def test_without_opencv_the_flow_is_left_out(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cv2", None)
    found = pixel_measures(moving_square(2))
    assert found["warp_error"] is None and found["motion"] is None and found["frame_difference"] > 0


def test_bootstrap_intervals_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(5)
    hits = 0
    for trial in range(200):
        estimate = bootstrap_mean(rng.normal(10, 2, 60), seed=trial)
        hits += estimate.low <= 10 <= estimate.high
        assert 0.7 < (estimate.high - estimate.low) / (2 * 1.96 * 2 / 60**0.5) < 1.4
    assert 0.88 <= hits / 200 <= 0.99
    same = bootstrap_mean([3.0] * 10)
    assert (same.value, same.low, same.high, same.count) == (3, 3, 3, 10)


@pytest.mark.parametrize(
    "successes, trials, low, high",
    [  # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_against_published_values(successes, trials, low, high):
    estimate = wilson(successes, trials)
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high) and estimate.value == successes / trials


def test_the_whole_command(clip_folder, tmp_path, capsys):
    a = make_run(tmp_path / "a", "PIA")
    b = make_run(tmp_path / "b", "Other & <co>", names=(("m", 1, 1),), seed=1, prompt=LONG)
    assert main(["score", "--run", str(a), "--run", str(b), "--clip", str(clip_folder), "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    assert (
        "Other & <co> lacks 1 of 2 clips" in captured.err
        and "1 prompts are longer than CLIP's 77 tokens" in captured.err
    )
    assert (
        "paper: PIA" in captured.out
        and "93.44" in captured.out
        and "68.74" in captured.out
        and "inferred" in captured.out
    )
    out = a / "score"
    results = json.loads((out / "scores.json").read_text())
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [row["clip"] for row in rows] == ["m/1-1", "m/1-2", "m/1-1"]
    summary = results["methods"]["PIA"]["summary"]["image_alignment"]
    assert (
        summary["value"] == pytest.approx(np.mean([float(row["image_alignment"]) for row in rows[:2]]))
        and summary["count"] == 2
    )
    assert summary["low"] <= summary["value"] <= summary["high"]
    assert f"{summary['value']:.2f} [{summary['low']:.2f}, {summary['high']:.2f}]" in captured.out
    page = (out / "index.html").read_text()
    assert page.count("<video") == 3 and "no clip" in page and "Other &amp; &lt;co&gt;" in page and "<co>" not in page
    assert "http" not in page  # works from disk
    for address in ("clips/0/m/1-1.mp4", "clips/1/m/1-1.mp4", "pictures/m/1-1.png"):
        assert address in page and (out / address).is_file()


def test_without_clip_the_rest_is_measured(tmp_path, capsys):
    a = make_run(tmp_path / "a", "PIA")
    assert main(["score", "--run", str(a), "--clip", "nobody/nothing"]) == 0
    captured = capsys.readouterr()
    assert (
        "is not on this machine" in captured.err
        and "frame difference" in captured.out
        and "text alignment" not in captured.out
    )
    assert main(["score", "--run", str(a), "--clip", "none"]) == 0
    assert "CLIP model" not in capsys.readouterr().err


def test_a_broken_clip_is_left_out_and_said(tmp_path, capsys):
    a = make_run(tmp_path / "a", "PIA")
    (a / "clips" / "m" / "1-1.png").write_bytes(b"broken")
    assert main(["score", "--run", str(a), "--clip", "none"]) == 0
    assert "m/1-1: it cannot be read" in capsys.readouterr().err
    assert len(json.loads((a / "score" / "scores.json").read_text())["methods"]["PIA"]["clips"]) == 1


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_without_a_run_is_one_sentence(tmp_path, capsys, made):
    if made:
        RunFolder(tmp_path).begin({"method": "PIA", "bench": "b", "settings": {}})
    assert main(["score", "--run", str(tmp_path), "--clip", "none"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and ("no finished clip" if made else "holds no run") in said
