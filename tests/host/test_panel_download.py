"""The download of pia.ckpt: whole, resumed, refused, cut off, wrong, cancelled."""

import threading
from types import SimpleNamespace

import pytest

from tests.e2e.hub import Hub


@pytest.fixture
def hub():
    with Hub() as running:
        yield running


@pytest.fixture
def model(host, models):
    """Bytes of a usable PIA model."""
    return (models.folder / "PIA" / models.pia()).read_bytes()


@pytest.fixture
def place(host, hub, tmp_path):
    """A fresh download into an empty folder from the local server."""
    from lib_pia.host.panel import download

    with host.options(pia_model_dir=str(tmp_path / "PIA"), pia_download_url=hub.url + "pia.ckpt"):
        yield SimpleNamespace(folder=tmp_path / "PIA", download=download.Download(), module=download)


def run(place, half=False):
    place.download.start(half)
    place.download.wait()
    return place.download.to_dict()


def names(place):
    return sorted(path.name for path in place.folder.iterdir())


def test_the_file_is_there_after_a_download_and_nothing_else(place, hub, model):
    hub.content = model
    answer = run(place)
    assert (answer["state"], answer["name"], answer["done"], answer["total"]) == (
        "done",
        "pia.ckpt",
        len(model),
        len(model),
    )
    assert names(place) == ["pia.ckpt"]
    assert (place.folder / "pia.ckpt").read_bytes() == model


def test_half_precision_is_stored_as_safetensors(place, hub, model):
    from lib_pia.checkpoint import describe

    hub.content = model
    assert run(place, half=True)["name"] == "pia.safetensors"
    kind = describe(place.folder / "pia.safetensors")
    assert kind.is_pia and kind.dtype == "float16"
    assert names(place) == ["pia.safetensors"]


def test_a_broken_download_says_so_and_goes_on(place, hub, model):
    hub.content, hub.cut = model, len(model) // 2
    answer = run(place)
    assert answer["state"] == "failed" and "broke off" in answer["error"] and str(place.folder) in answer["error"]
    assert not (place.folder / "pia.ckpt").exists()
    hub.cut = None
    assert run(place)["state"] == "done"
    assert hub.ranges == [None, f"bytes={len(model) // 2}-"]
    assert (place.folder / "pia.ckpt").read_bytes() == model


def test_another_file_on_the_server_is_fetched_from_its_start(place, hub, model):
    hub.content, hub.cut = b"x" * 1000, 500
    run(place)
    hub.content, hub.cut, hub.tag = model, None, '"two"'
    assert run(place)["state"] == "done"
    assert (place.folder / "pia.ckpt").read_bytes() == model


def test_a_part_that_is_longer_than_the_file_is_thrown_away(place, hub, model):
    hub.content, hub.cut = model + b"more", len(model) + 2
    run(place)
    hub.content, hub.cut = model, None
    assert run(place)["state"] == "done"
    assert (place.folder / "pia.ckpt").read_bytes() == model


def test_without_a_tag_nothing_is_resumed(place, hub, model):
    hub.content, hub.cut, hub.tag = model, 100, None
    run(place)
    hub.cut = None
    assert run(place)["state"] == "done"
    assert hub.ranges == [None, None]


def test_a_refusal_names_the_way_by_hand(place, hub):
    hub.status = 403
    error = run(place)["error"]
    assert "403" in error and "https://huggingface.co/Leoxing/PIA" in error and str(place.folder) in error


def test_a_server_that_has_no_such_range_is_asked_once_more_only(place, hub):
    hub.status = 416
    assert "answered 416" in run(place)["error"] and hub.ranges == [None]


def test_no_server_names_the_way_by_hand(place, hub, host):
    with Hub() as gone:
        url = gone.url
    with host.options(pia_download_url=url + "pia.ckpt"):
        error = run(place)["error"]
    assert "could not be downloaded from 127.0.0.1" in error and "browser" in error and str(place.folder) in error


def test_a_wrong_file_is_deleted_and_named(place, hub):
    hub.content = b"<!DOCTYPE html><html>please log in</html>"
    answer = run(place)
    assert answer["state"] == "failed" and "127.0.0.1 sent" in answer["error"]
    assert names(place) == []


def test_other_addresses_than_http_are_refused(place, host):
    from lib_pia.errors import HostError

    with host.options(pia_download_url="file:///etc/passwd"), pytest.raises(HostError, match="https://"):
        place.download.start(False)


def test_a_file_that_is_there_is_not_replaced(place):
    from lib_pia.errors import HostError

    place.folder.mkdir()
    (place.folder / "pia.ckpt").write_bytes(b"mine")
    with pytest.raises(HostError, match="there already"):
        place.download.start(False)
    assert (place.folder / "pia.ckpt").read_bytes() == b"mine"


def test_cancel_keeps_what_has_arrived_and_a_second_start_waits_its_turn(place, hub, model):
    hub.content = model
    hub.gate.clear()
    place.download.start(False)
    first = threading.enumerate()
    place.download.start(False)  # runs already: nothing new
    assert {thread.name for thread in threading.enumerate()} <= {thread.name for thread in first} | {"Thread-1"}
    place.download.cancel()
    hub.gate.set()
    place.download.wait()
    assert place.download.state == "idle" and names(place) != ["pia.ckpt"]
    assert run(place)["state"] == "done"


def test_a_full_disk_is_said_before_anything_is_fetched(place, hub, model, monkeypatch):
    hub.content = model
    monkeypatch.setattr(place.module.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    assert "are free" in run(place)["error"]


def test_the_address_in_the_settings_cannot_be_changed_through_the_api(host):
    host.post("/sdapi/v1/options", pia_download_url="http://127.0.0.1:1/x")
    assert host.shared.opts.pia_download_url == ""
