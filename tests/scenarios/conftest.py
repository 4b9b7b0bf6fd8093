"""`host`: one running host for the whole session, over HTTP only.

By default minihost in a process of its own, with the miniature; with PIA_WEBUI_URL a WebUI on this machine that
somebody else started (python dev.py test --webui URL), with the extension, the probe, the miniature and `--api`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .client import AnswerError, Host
from .clips import animate, still
from .models import Models

ROOT = Path(__file__).resolve().parents[2]
URL = os.environ.get("PIA_WEBUI_URL")


def pytest_collection_modifyitems(items):
    """Tests marked `real` are for a WebUI alone."""
    here = Path(__file__).parent
    for item in list(items):
        if here in item.path.parents and item.get_closest_marker("real") and not URL:
            items.remove(item)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """minihost in a process of its own."""

    def __init__(self, folder: Path, *flags: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log_file = folder / "server.log"
        self.log = self.log_file.open("wb")
        command = [sys.executable, "-m", "tests.scenarios.serve", str(folder), str(port), *flags]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self.log, stderr=subprocess.STDOUT, env=environment)

    def wait(self, host: Host) -> Host:
        end = time.monotonic() + 300
        while time.monotonic() < end and self.process.poll() is None:
            try:
                host.get("/pia-probe/host")
                return host
            except Exception:  # not there yet, or not answering yet
                time.sleep(0.2)
        raise RuntimeError("minihost did not start:\n" + self.log_file.read_text(errors="replace")[-3000:])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="package")
def host(tmp_path_factory):
    if URL:
        yield Host(URL, os.environ.get("PIA_WEBUI_LOGIN", ""))
        return
    served = Served(tmp_path_factory.mktemp("scenarios"))
    try:
        yield served.wait(Host(served.url))
    finally:
        served.stop()


@pytest.fixture(scope="package")
def models(host):
    made = Models(host)
    yield made
    made.clear()


@pytest.fixture(scope="package")
def usual(host):
    """What the host makes and is, before anything happens to it: a picture, a clip, and its state."""
    still(host), animate(host)
    return still(host), animate(host)["images"], host.get("/pia-probe/state")


@pytest.fixture
def unharmed(host, usual):
    """After the test the host makes the same picture and the same clip, and its model is bit for bit what it was."""
    yield
    assert host.get("/pia-probe/state") == usual[2]
    assert still(host) == usual[0]
    assert animate(host)["images"] == usual[1]


@pytest.fixture
def refused(host, unharmed):
    """refused(sentence, settings, how, **request): the request is answered 422 with a sentence that starts so."""

    def run(sentence, settings=None, how=animate, status=422, **request):
        with pytest.raises(AnswerError) as error:
            how(host, settings, **request)
        assert error.value.status == status
        said = error.value.sentence
        assert said.startswith(sentence) and said.endswith(".") and "\n" not in said, said

    return run
