"""The extension's own routes: what they answer, how they refuse, and --api-auth."""
from __future__ import annotations

import base64
import hashlib
import io

import pytest

from demo.minihost import HostResponseError
from lib_pia.affinity import affinity_scores
from tests.host.clips import animate, picture


def refused(host, path, sentence, **body):
    with pytest.raises(HostResponseError) as error:
        host.post(path, **body)
    assert error.value.status == 422 and error.value.body["detail"].startswith(sentence), error.value.body


def test_models_with_format_and_hash(host, models):
    name = models.pia()
    file = next(file for file in host.get("/pia/v1/models") if file["name"] == name)
    data = (models.folder / "PIA" / name).read_bytes()
    assert file["usable"] and file["sha256"] == hashlib.sha256(data).hexdigest() and "official" in file["detail"]


def test_files_that_are_no_models_are_named_for_what_they_are(host, tmp_path):
    (tmp_path / "junk.ckpt").write_bytes(b"\0" * 10)
    with host.options(pia_model_dir=str(tmp_path)):
        file, = host.get("/pia/v1/models")
    assert not file["usable"] and file["sha256"] is None and "not a PIA model" in file["detail"]


def test_affinity_of_settings(host):
    answer = host.post("/pia/v1/affinity", num_frames=8, motion="loop", magnitude="large", condition_frame=2)
    assert answer["affinity"] == pytest.approx(affinity_scores(8, 2, "loop", "large").tolist(), abs=1e-6)
    assert host.post("/pia/v1/affinity", num_frames=3, affinity=[1, 0])["affinity"] == [1.0, 0.5, 0.0]


def test_affinity_is_refused_with_a_sentence(host):
    refused(host, "/pia/v1/affinity", "PIA setting motion is \"dance\"", motion="dance")
    refused(host, "/pia/v1/affinity", "PIA setting \"frames\" is unknown", frames=3)
    response = host.client.post("/pia/v1/affinity", json=[1])
    assert (response.status_code, response.json()["detail"].split(";")[0]) == (422, "The request's body is list")


def clip_bytes(count: int) -> bytes:
    pictures = [picture().rotate(3 * i) for i in range(count)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=100)
    return buffer.getvalue()


def test_affinity_of_a_reference_clip(host):
    text = base64.b64encode(clip_bytes(10)).decode()
    answer = host.post("/pia/v1/affinity_of_clip", clip=text, num_frames=6)
    scores = answer["affinity"]
    assert answer["frames"] == 10 and len(scores) == 6 and scores[0] == 1.0 and scores[1] > scores[-1] and min(scores) >= 0
    assert host.post("/pia/v1/affinity_of_clip", clip=f"data:image/gif;base64,{text}", num_frames=6) == answer
    last = host.post("/pia/v1/affinity_of_clip", clip=text, num_frames=6, condition_frame=-1)["affinity"]
    assert last[-1] == 1.0 and last[0] < 1.0
    assert animate(host, {"num_frames": 6, "affinity": scores}, steps=1)["info"]["pia"][0]["affinity"] == scores


def test_a_reference_clip_that_cannot_be_used(host, monkeypatch):
    from lib_pia.host.panel import bodies

    path = "/pia/v1/affinity_of_clip"
    refused(host, path, "The request has no clip")
    refused(host, path, "The clip is not valid base64 text", clip="%%%")
    refused(host, path, "clip has 1 frame; a clip needs at least 2.", clip=base64.b64encode(clip_bytes(1)).decode())
    refused(host, path, "", clip=base64.b64encode(b"no clip at all").decode())
    monkeypatch.setattr(bodies, "MAX_FILE", 1 << 20)
    refused(host, path, "The clip has more than 1 MB", clip="A" * (2 << 20))


def test_api_auth_guards_the_routes(host):
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from lib_pia.host.panel import routes

    host.shared.cmd_opts.api_auth, before = "ada:secret,bob:word", host.shared.cmd_opts.api_auth
    try:
        app = FastAPI()
        routes.add(None, app)
    finally:
        host.shared.cmd_opts.api_auth = before
    client = TestClient(app)
    for path in ("/pia/v1/models", "/pia/v1/clips"):
        assert client.get(path).status_code == 401
        assert client.get(path, auth=("ada", "word")).status_code == 401
        assert client.get(path, auth=("bob", "word")).status_code == 200
    assert client.post("/pia/v1/affinity", json={}).status_code == 401
    assert client.post("/pia/v1/affinity", json={}, auth=("ada", "secret")).status_code == 200
