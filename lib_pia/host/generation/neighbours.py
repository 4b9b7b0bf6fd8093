"""Other extensions that cannot share a clip with PIA: found by title and arguments, kept from starting, and named in
one sentence. What was tried in the WebUI, and with which versions, is in docs/NEIGHBOURS.md."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lib_pia.errors import SettingsError

ATTRIBUTE = "pia_neighbour"  # on `p`: the sentence about the neighbour that was kept from starting


def _first(args: Sequence[Any]) -> bool:
    return bool(args) and args[0] is True


def _enabled(args: Sequence[Any]) -> bool:
    """AnimateDiff takes one argument: by the API an object of JSON, from the page one of its own class."""
    first = args[0] if args else None
    return bool(first.get("enable", False) if isinstance(first, Mapping) else getattr(first, "enable", False))


def _combinations(args: Sequence[Any]) -> bool:
    return _first(args) and len(args) > 1 and args[1] is True


def _attention(args: Sequence[Any]) -> bool:
    return _first(args) and "Attention" in args


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """An extension's script whose `title` starts so, where `active(args)`; `text_only`: on txt2img alone."""

    title: str
    active: Callable[[Sequence[Any]], bool]
    sentence: str
    text_only: bool = False


NEIGHBOURS = (
    Neighbour(
        "animatediff",
        _enabled,
        "AnimateDiff and PIA would each put motion into the same frames; switch one of them off.",
    ),
    Neighbour(
        "tiled diffusion",
        _first,
        "Tiled Diffusion gives the UNet pieces of the picture, and a clip needs the whole; switch it off for clips.",
    ),
    Neighbour(
        "demofusion",
        _first,
        "DemoFusion gives the UNet pieces of the picture, and a clip needs the whole; switch it off for clips.",
    ),
    Neighbour(
        "dynamic prompts",
        _combinations,
        "Dynamic Prompts' combinatorial generation makes a picture of every combination, and a clip has one prompt; "
        "switch it off (a prompt drawn at random for every clip works).",
    ),
    Neighbour(
        "regional prompter",
        _attention,
        "Regional Prompter's Attention mode cannot make the single picture that a clip on txt2img begins with; set its "
        "generation mode to Latent, or animate a picture on img2img.",
        text_only=True,
    ),
)


def keep_from_starting(p: Any, args: Sequence[Any]) -> None:
    """Called before any extension starts: where PIA is asked for (`args` are its own) beside a neighbour that it cannot
    work with, switches that one off for this `p`, so that nothing of it is left behind, and remembers the sentence."""
    vars(p).pop(ATTRIBUTE, None)
    if not _asked(args):
        return
    given = list(p.script_args)
    for script in p.scripts.alwayson_scripts:
        title, where = script.title().lower(), slice(script.args_from, script.args_to)
        for neighbour in NEIGHBOURS:
            if neighbour.text_only and hasattr(p, "init_images"):
                continue
            if title.startswith(neighbour.title) and neighbour.active(given[where]):
                vars(p).setdefault(ATTRIBUTE, neighbour.sentence)
                given[script.args_from] = _switched_off(given[script.args_from])
    if ATTRIBUTE in vars(p):
        p.script_args = given


def check_neighbours(p: Any) -> None:
    """Raises SettingsError where `keep_from_starting` found a neighbour."""
    if sentence := vars(p).get(ATTRIBUTE):
        raise SettingsError(sentence)


def forget_rows(p: Any) -> None:
    """Called before a still or a clip is sampled: IP-Adapters of sd-webui-controlnet keep the keys and values of a
    request's first call of the UNet (1.1.455, `PlugableIPAdapter.call_ip`), and a clip has more rows than its still."""
    for script in p.scripts.alwayson_scripts if p.scripts is not None else ():
        network = getattr(script, "latest_network", None)
        for param in getattr(network, "control_params", None) or ():
            adapter = getattr(param, "control_model", None)
            if isinstance(getattr(adapter, "cache", None), dict):
                adapter.cache = {}


def check_count(p: Any, all_prompts: Sequence[str], wanted: int) -> None:
    """Refuses a number of pictures that another extension changed after PIA had set it. Raises SettingsError."""
    got = (len(all_prompts), p.n_iter * p.batch_size)
    if got != (wanted, wanted):
        raise SettingsError(
            f"Another extension changed the number of pictures from {wanted} to {min(got)}, and every frame of a clip "
            "is one; switch off what makes several pictures of one prompt."
        )


def _asked(args: Sequence[Any]) -> bool:
    first = args[0] if args else False
    return first.get("enabled", True) is not False if isinstance(first, Mapping) else first is True


def _switched_off(first: Any) -> Any:
    if isinstance(first, bool):
        return False
    if isinstance(first, Mapping):
        return {**first, "enable": False}
    off = copy.copy(first)
    off.enable = False
    return off
