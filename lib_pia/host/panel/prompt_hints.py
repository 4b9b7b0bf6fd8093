"""What a picture's infotext says that the prompt does not: words and LoRA that made the picture, and the checkpoint it
was made with.

PIA animates best with the prompt and checkpoint of the picture; the paper names missing trigger words as a limitation.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

from modules import images, infotext_utils, sd_models
from PIL import Image

from lib_pia.errors import MediaError, SettingsError

from .bodies import file_bytes, json_object

MAX_TEXT = 100_000  # characters
NETWORK = re.compile(r"<(?:lora|lyco|hypernet):[^<>]+>", re.IGNORECASE)
_WEIGHT = re.compile(r":\s*[\d.]+\s*$")


def compared(body: Any) -> dict[str, Any]:
    """{"infotext", "missing": words and networks of the picture's prompt that `prompt` lacks, "checkpoint": sentence or
    null}.

    `body`: {"picture": data URL or base64, or "infotext": text, and "prompt": text}. Raises SettingsError and
    MediaError.
    """
    body = json_object(body, "picture or infotext, and prompt")
    infotext, prompt = body.get("infotext"), body.get("prompt") or ""
    if infotext is None and isinstance(body.get("picture"), str):
        infotext = infotext_of(body["picture"])
    if not isinstance(infotext, str) or not isinstance(prompt, str) or len(infotext) + len(prompt) > MAX_TEXT:
        raise SettingsError(
            f"The request names no picture, or texts of more than {MAX_TEXT} characters; give picture or "
            "infotext, and prompt."
        )
    if not infotext:
        return {"infotext": "", "missing": [], "checkpoint": None}
    values = infotext_utils.parse_generation_parameters(infotext, [])
    return {
        "infotext": infotext,
        "missing": missing_words(str(values.get("Prompt", "")), prompt),
        "checkpoint": _checkpoint(values),
    }


def infotext_of(picture: str) -> str:
    """The infotext in a picture given as data URL or base64, "" without one. Raises MediaError and SettingsError."""
    data = file_bytes(picture, "picture")
    try:
        with Image.open(io.BytesIO(data)) as image:
            return images.read_info_from_image(image)[0] or ""
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"The picture cannot be read ({error}); use a PNG, JPEG or WebP file.") from error


def missing_words(of_picture: str, prompt: str) -> list[str]:
    """The networks and comma-separated parts of a picture's prompt that `prompt` lacks; weights, brackets and case do
    not count."""
    have_networks = {_network(text) for text in NETWORK.findall(prompt)}
    have = f" {_plain(NETWORK.sub(' ', prompt))} "
    missing = [text for text in NETWORK.findall(of_picture) if _network(text) not in have_networks]
    for part in re.split(r"[,\n]|\bBREAK\b|\bAND\b", NETWORK.sub(",", of_picture)):
        plain = _plain(part)
        if plain and f" {plain} " not in have:
            missing.append(part.strip() if _balanced(part) else plain)
    return list(dict.fromkeys(missing))


def _balanced(part: str) -> bool:
    """Whether a part of a prompt opens and closes its own brackets only, so that it can stand alone."""
    bare = re.sub(r"\\.", "", part)
    return all(bare.count(left) == bare.count(right) for left, right in ("()", "[]"))


def _network(text: str) -> str:
    """ "<lora:name:0.8>" -> "lora:name"."""
    return ":".join(text.strip("<>").split(":")[:2]).lower()


def _plain(text: str) -> str:
    """A part of a prompt without emphasis: "((Smile:1.2)" -> "smile"."""
    text = re.sub(r"\\([()\[\]])", "\\1", text)
    text = _WEIGHT.sub("", text.replace("(", " ").replace(")", " ").replace("[", " ").replace("]", " ").strip())
    return " ".join(re.sub(r":[\d.]+(?=\s|$)", " ", text).lower().replace(",", " , ").split())


def _checkpoint(values: Mapping[str, Any]) -> str | None:
    """Says that the picture was made with another checkpoint than the one that is loaded."""
    info = getattr(sd_models.model_data.sd_model, "sd_checkpoint_info", None)
    name, digest = values.get("Model"), str(values.get("Model hash", ""))
    if info is None or not (name or digest):
        return None
    known = str(info.shorthash or info.hash or "")
    if digest and known:
        same = known.startswith(digest) or digest.startswith(known)
    else:
        same = name in (info.name_for_extra, info.model_name)
    if same:
        return None
    return (
        f"The picture was made with the checkpoint {name or digest}, and {info.name_for_extra} is loaded: fine "
        "for a style transfer, "
        "a mistake otherwise."
    )
