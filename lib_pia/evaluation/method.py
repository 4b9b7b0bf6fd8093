"""A method: a template of the request to the WebUI, so that any extension in it can be measured by the same run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .errors import EvaluationError

SHIPPED = Path(__file__).with_name("methods")
PLACEHOLDERS = ("picture", "prompt", "negative", "seed", "width", "height")
ENDPOINTS = ("img2img", "txt2img")
ANSWERS = ("clip", "stills", "clip and stills")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclasses.dataclass(frozen=True)
class Method:
    """`needs`: titles of scripts that the WebUI must have. `answer`: what in the answer's images is the clip
    (`ANSWERS`), which must have `frames` frames. `fps`: of a clip that comes as stills."""

    name: str
    endpoint: str
    request: dict[str, Any]
    needs: tuple[str, ...] = ()
    answer: str = "clip"
    frames: int = 16
    fps: float = 8

    def fill(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The request with its placeholders replaced; one that is a whole value keeps its type."""
        return _filled(self.request, values)


def shipped() -> list[str]:
    return sorted(file.stem for file in SHIPPED.glob("*.yaml"))


def load_method(name: str) -> Method:
    """A shipped method by its name, or any file. Raises EvaluationError."""
    file = SHIPPED / f"{name}.yaml" if name in shipped() else Path(name)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EvaluationError(
            f"There is no method {name}; give a YAML file or one of {', '.join(shipped())}."
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise EvaluationError(f"The method {file} cannot be read ({str(error).splitlines()[0]}); correct it.") from None
    if not isinstance(values, dict) or not isinstance(values.get("request"), dict):
        raise EvaluationError(f"The method {file} has no request; see {SHIPPED / 'pia.yaml'} for what a method holds.")
    return _checked(file, values)


def _checked(file: Path, values: dict[str, Any]) -> Method:
    known = [field.name for field in dataclasses.fields(Method)]
    if unknown := sorted(set(map(str, values)) - set(known)):
        raise EvaluationError(f"The method {file} has {', '.join(unknown)}; it may have {', '.join(known)}.")
    method = Method(**{"name": file.stem, "endpoint": "img2img", **values, "needs": tuple(values.get("needs") or ())})
    for key, allowed in (("endpoint", ENDPOINTS), ("answer", ANSWERS)):
        if getattr(method, key) not in allowed:
            raise EvaluationError(
                f"The method {file} has {key} {getattr(method, key)!r}; it must be one of {', '.join(allowed)}."
            )
    used = placeholders_in(method.request)
    if wrong := sorted(used - set(PLACEHOLDERS)):
        raise EvaluationError(
            f"The method {file} uses {{{'}, {'.join(wrong)}}}; there are "
            f"{', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}."
        )
    if "prompt" not in used:
        raise EvaluationError(
            f"The method {file} does not use {{prompt}}, so every clip would be the same; put it into the request."
        )
    return method


def placeholders_in(value: Any) -> set[str]:
    if isinstance(value, str):
        return set(_PLACEHOLDER.findall(value))
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(placeholders_in, parts))


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(part, values) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, values) for part in value]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole:
        return values[whole[1]]
    return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), value)
