"""The extension's own routes: the largest body, and --api-auth; the rest is in tests/scenarios/test_routes.py."""

from __future__ import annotations

import pytest

from demo.minihost import HostResponseError


def refused(host, path, sentence, **body):
    with pytest.raises(HostResponseError) as error:
        host.post(path, **body)
    assert error.value.status == 422 and error.value.body["detail"].startswith(sentence), error.value.body


def test_a_reference_clip_that_is_too_large(host, monkeypatch):
    from lib_pia.host.panel import bodies

    monkeypatch.setattr(bodies, "MAX_FILE", 1 << 20)
    refused(host, "/pia/v1/affinity_of_clip", "The clip has more than 1 MB", clip="A" * (2 << 20))


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
