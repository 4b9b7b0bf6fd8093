"""The extension's own routes."""

from __future__ import annotations

import base64
import hashlib
import io

import pytest

from lib_pia.affinity import affinity_scores

from .client import AnswerError
from .clips import animate
from .models import MODELS
from .pictures import picture


def refused(host, path, sentence, body):
    with pytest.raises(AnswerError) as error:
        host.post(path, body)
    assert error.value.status == 422 and error.value.sentence.startswith(sentence), error.value.body


def test_models_with_format_and_hash(host):
    name = "miniature_pia.safetensors"
    file = next(file for file in host.get("/pia/v1/models") if file["name"] == name)
    assert file["usable"] and file["sha256"] == hashlib.sha256((MODELS / name).read_bytes()).hexdigest()


def test_files_that_are_no_models_are_named_for_what_they_are(host, tmp_path):
    (tmp_path / "junk.ckpt").write_bytes(b"\0" * 10)
    with host.options(pia_model_dir=str(tmp_path)):
        (file,) = host.get("/pia/v1/models")
    assert not file["usable"] and file["sha256"] is None and "not a PIA model" in file["detail"]


def test_affinity_of_settings(host):
    asked = {"num_frames": 8, "motion": "loop", "magnitude": "large", "condition_frame": 2}
    wanted = affinity_scores(8, 2, "loop", "large").tolist()
    assert host.post("/pia/v1/affinity", asked)["affinity"] == pytest.approx(wanted, abs=1e-6)
    assert host.post("/pia/v1/affinity", {"num_frames": 3, "affinity": [1, 0]})["affinity"] == [1.0, 0.5, 0.0]


def test_affinity_is_refused_with_a_sentence(host):
    refused(host, "/pia/v1/affinity", 'PIA setting motion is "dance"', {"motion": "dance"})
    refused(host, "/pia/v1/affinity", 'PIA setting "frames" is unknown', {"frames": 3})
    refused(host, "/pia/v1/affinity", "The request's body is list", [1])


def clip_text(count: int) -> str:
    pictures = [picture().rotate(3 * i) for i in range(count)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=100)
    return base64.b64encode(buffer.getvalue()).decode()


def test_affinity_of_a_reference_clip(host):
    text = clip_text(10)
    answer = host.post("/pia/v1/affinity_of_clip", {"clip": text, "num_frames": 6})
    scores = answer["affinity"]
    assert answer["frames"] == 10 and len(scores) == 6 and scores[0] == 1.0 and scores[1] > scores[-1] >= 0
    by_data_url = {"clip": f"data:image/gif;base64,{text}", "num_frames": 6}
    assert host.post("/pia/v1/affinity_of_clip", by_data_url) == answer
    used = animate(host, {"num_frames": 6, "affinity": scores}, steps=1)["info"]["pia"][0]["affinity"]
    assert used == scores


@pytest.mark.parametrize(
    "body, sentence",
    [
        ({}, "The request has no clip"),
        ({"clip": "%%%"}, "The clip is not valid base64 text"),
        ({"clip": clip_text(1)}, "clip has 1 frame; a clip needs at least 2."),
        ({"clip": base64.b64encode(b"no clip at all").decode()}, ""),
    ],
)
def test_a_reference_clip_that_cannot_be_used(host, body, sentence):
    refused(host, "/pia/v1/affinity_of_clip", sentence, body)
