"""Writes a user study as one page that works from disk: shuffled clips without names, and the paper's two questions."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lib_pia.video import ClipOptions, encode_clip

from .answer import frames_of
from .errors import EvaluationError
from .run_folder import FinishedClip
from .score import MethodScores, read_runs

PAGE = Path(__file__).with_name("study_page.html")
PICTURE_SIDE = 512  # px; the picture is shown, not measured
KEY_SUFFIX = ".key.json"


def make_study(
    folders: list[Path], questions: int, seed: int, out: Path, say: Callable[[str], None]
) -> tuple[Path, Path]:
    """Writes the page `out` and beside it the key (which clip is whose). Returns both paths. Raises EvaluationError."""
    if len(folders) < 2:
        raise EvaluationError("A study compares methods; give two or more runs with --run.")
    methods = read_runs(folders, say)
    shared = sorted(set.intersection(*(set(method.clips) for method in methods)))
    if not shared or questions < 1:
        raise EvaluationError(
            f"The runs have {len(shared)} clips in common for {questions} questions; both must be 1 or more."
        )
    if len(shared) < questions:
        say(f"The runs have only {len(shared)} clips in common; the study has as many questions, not {questions}.")
    rng = np.random.default_rng(seed)
    chosen = [shared[number] for number in rng.permutation(len(shared))[:questions]]
    key: dict[str, Any] = {
        "methods": [method.name for method in methods],
        "seed": seed,
        "questions": [{"clip": name, "order": rng.permutation(len(methods)).tolist()} for name in chosen],
    }
    marks = [[method.clips[name].record.get("fingerprint") for method in methods] for name in chosen]
    key["study"] = hashlib.sha256(json.dumps([key, marks], sort_keys=True).encode()).hexdigest()[:16]
    shown = [_question(methods, question) for question in key["questions"]]
    page = PAGE.read_text(encoding="utf-8").replace(
        "/*STUDY*/null", _script_json({"study": key["study"], "questions": shown})
    )
    key_file = out.with_name(out.stem + KEY_SUFFIX)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8")
        key_file.write_text(json.dumps(key, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{out} cannot be written ({error.strerror}); choose another --out.") from None
    return out, key_file


def _question(methods: list[MethodScores], question: dict[str, Any]) -> dict[str, Any]:
    """What the page shows: nothing in it tells whose a clip is."""
    clips = [methods[number].clips[question["clip"]] for number in question["order"]]
    return {
        "prompt": clips[0].record["prompt"],
        "picture": _picture(clips[0]),
        "clips": [_clip(clip) for clip in clips],
    }


def _picture(clip: FinishedClip) -> str:
    with tempfile.TemporaryFile() as file, Image.open(clip.picture) as image:
        image = ImageOps.exif_transpose(image).convert("RGB")
        image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        image.save(file, "PNG")
        file.seek(0)
        return _address("image/png", file.read())


def _clip(clip: FinishedClip) -> str:
    """The clip as MP4 without its infotext, which would name the method."""
    with tempfile.TemporaryDirectory() as folder:
        files = encode_clip(frames_of(clip.file), Path(folder) / "clip", ["mp4"], ClipOptions(fps=clip.record["fps"]))
        if not files:
            raise files.errors["mp4"]
        return _address("video/mp4", files[0].path.read_bytes())


def _address(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value).replace("<", "\\u003c")
