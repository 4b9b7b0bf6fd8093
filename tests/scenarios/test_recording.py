"""A host is held to what was recorded in the WebUI: python -m tests.scenarios.record takes it anew."""

from __future__ import annotations

import json

import pytest

from lib_pia.host.contract import NEEDED

from . import cases
from .compare import LOOSE, TOLERANCE, differences
from .record import RECORDED, SETUP, ask, page_of, still_parts

RECORDING = json.loads(RECORDED.read_text(encoding="utf-8"))


def held(recorded, here, tolerance=TOLERANCE) -> None:
    found = list(differences(recorded, here, tolerance))
    assert not found, "\n".join(found[:20])


@pytest.fixture(scope="module", autouse=True)
def first_setup():
    """Requests are recorded as what differs from the first one's start."""
    SETUP.clear()
    SETUP.update(next(iter(RECORDING["requests"].values()))["events"][0][2])


NAMES = [pytest.param(name, marks=[pytest.mark.real] if case.real else []) for name, case in cases.REQUESTS.items()]


@pytest.mark.parametrize("name", NAMES)
def test_request(host, name):
    case = cases.REQUESTS[name]
    recorded = dict(RECORDING["requests"][name])
    here = json.loads(json.dumps(ask(host, case)))
    if name == next(iter(cases.REQUESTS)):
        recorded["events"] = [["setup", {}], *recorded["events"][1:]]  # `first_setup` holds it to the rest of the first
    held(recorded, here, LOOSE if case.loose else TOLERANCE)


@pytest.fixture(scope="module")
def parts(host):
    return json.loads(json.dumps(still_parts(host)))


@pytest.mark.parametrize("part", ["options", "script-info"])
def test_part(parts, part):
    held(RECORDING[part], parts[part])


def test_routes(parts):
    """A host may have fewer samplers than the WebUI, in its order."""
    recorded, here = dict(RECORDING["gets"]), dict(parts["gets"])
    every, listed = recorded.pop("/sdapi/v1/samplers"), here.pop("/sdapi/v1/samplers")
    assert [name for name in every if name in listed] == listed
    assert set(every) - set(listed) <= set(cases.ONLY_REAL_SAMPLERS)
    held(recorded, here)


def test_ids(parts):
    missing = {name for name, is_there in RECORDING["ids"].items() if is_there and not parts["ids"][name]}
    assert missing <= set(cases.ONLY_REAL_IDS)


def test_infotext_is_read(parts):
    """The WebUI fills in defaults of its own; what a host says, the WebUI says too."""
    here = parts["infotext"]["parameters"]
    held({key: RECORDING["infotext"]["parameters"].get(key) for key in here}, here)
    assert {"Prompt", "Negative prompt", "Steps", "Sampler", "Seed", "Size-1", "Size-2"} <= set(here)
    assert parts["infotext"]["info"] == RECORDING["infotext"]["info"]


def test_every_name_of_the_contract_was_recorded():
    names = {f"{module}.{name}" for module, wanted in NEEDED.items() for name in wanted}
    assert names - set(RECORDING["contract"]) == set()


def test_names_and_parameters(parts):
    """A host may have fewer parameters than the WebUI, never others, in its order; classes may have other names."""
    recorded = RECORDING["contract"]
    wrong = {name: here for name, here in parts["contract"].items() if not fits(recorded[name], here)}
    assert not wrong, "\n".join(f"{name}: recorded {recorded[name]}, here {here}" for name, here in wrong.items())


PLAIN = {"NoneType", "bool", "int", "float", "str", "list", "dict"}


def fits(recorded, here) -> bool:
    """Whether a name of a host can be used as the WebUI's."""
    if isinstance(recorded, list) and isinstance(here, list):
        every = iter(recorded)
        named = [parameter for parameter in here if not parameter.startswith("*")]
        return all(parameter in every for parameter in named) or ("**kwargs" in recorded and named[:1] == recorded[:1])
    if isinstance(recorded, list) or isinstance(here, list) or here is None:
        return False
    return recorded == here or not PLAIN & {recorded, here}


@pytest.mark.parametrize(
    "recorded, here, does",
    [
        (["self", "p", "x"], ["self", "x"], True),
        (["self", "p", "x"], ["self", "x", "p"], False),
        (["self", "p"], ["self", "q"], False),
        (["p"], "NoneType", False),
        ("SdModelData", "ModelData", True),
        ("SdModelData", "NoneType", False),
        ("list", "dict", False),
    ],
)
def test_what_fits(recorded, here, does):
    assert fits(recorded, here) is does


@pytest.mark.browser
def test_the_pages_scripts(host):
    held(RECORDING["page"], page_of(host.url))


def test_a_recording_that_differs_is_told():
    """The comparison itself: numbers to a tolerance, everything else exactly."""
    assert list(differences({"a": [1, 2.0, "x"]}, {"a": [1, 2.0001, "x"]})) == []
    assert list(differences({"a": [1, 2.0]}, {"a": [1, 2.1]})) == ["/a/1: recorded 2.0, here 2.1"]
    assert list(differences({"a": 1}, {"a": 2})) == ["/a: recorded 1, here 2"]
    assert list(differences([1, 2], [1])) == [": recorded [1, 2], here [1]"]
    assert list(differences({}, {"b": None})) == ["/b: recorded '(nothing)', here None"]
    assert list(differences(True, 1)) == [": recorded True, here 1"]
