"""The folder of a run: one clip and one record per clip, complete or absent, whenever the program was killed.

run.json                         method, bench, settings
pictures/<model>/<picture>.png   the pictures that were animated
clips/<model>/<n>-<m>.png        the clip of picture n and prompt m (APNG, or the format that the method returned)
clips/<model>/<n>-<m>.json       its record: prompt, seed, request, infotext; written last: it is finished
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib_pia.files import replacing
from lib_pia.video import ClipOptions, clip_info, encode_clip
from lib_pia.video.encode import FORMAT

from .answer import Answer
from .bench import BenchClip
from .errors import EvaluationError

RUN, CLIPS, PICTURES = "run.json", "clips", "pictures"


@dataclasses.dataclass(frozen=True)
class FinishedClip:
    """A clip of a run with its record."""

    name: str
    file: Path
    picture: Path
    record: dict[str, Any]


def fingerprint(request: dict[str, Any], picture: bytes) -> str:
    """Of everything that makes a clip what it is."""
    text = json.dumps(request, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode() + b"\0" + picture).hexdigest()


class RunFolder:
    """A run that is being made, or that is read."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    # ---- making

    def begin(self, described: dict[str, Any]) -> None:
        """Makes the folder, or goes on in it. Raises EvaluationError where it holds another run."""
        try:
            before = self.described() if (self.path / RUN).exists() else None
            for key in ("method", "bench") if before else ():
                if before.get(key) != described[key]:
                    raise EvaluationError(
                        f"{self.path} holds a run of {key} {before.get(key)!r}, and this one is of "
                        f"{described[key]!r}; choose another --out."
                    )
            self._write_json(self.path / RUN, described)
            for left in self.path.glob("*/*/.pia-*"):  # of a run that was killed
                left.unlink()
        except OSError as error:
            raise EvaluationError(f"{self.path} cannot be written ({error.strerror}); choose another --out.") from None

    def is_finished(self, clip: BenchClip, mark: str) -> bool:
        record = self._record(self._record_file(clip.name))
        return (
            record is not None and record.get("fingerprint") == mark and (self.path / CLIPS / record["file"]).is_file()
        )

    def has_record(self, clip: BenchClip) -> bool:
        return self._record_file(clip.name).exists()

    def save(self, clip: BenchClip, answer: Answer, record: dict[str, Any], fps: float) -> None:
        """The picture, the clip, and last its record."""
        self._save_picture(clip)
        stem = self.path / CLIPS / clip.name
        stem.parent.mkdir(parents=True, exist_ok=True)
        if answer.stills is not None:
            file = _encoded(answer, stem, fps)
        else:
            file = stem.parent / (stem.name + FORMAT[answer.format].suffix)
            with replacing(file) as temporary:
                temporary.write_bytes(answer.data)
        numbers = clip_info(file)
        record = {
            "name": clip.name,
            "model": clip.model,
            "picture": clip.picture,
            "prompt_number": clip.prompt_number,
            "prompt": clip.prompt,
            "negative": clip.negative,
            "picture_file": self._picture(clip).name,
            "file": file.relative_to(self.path / CLIPS).as_posix(),
            "frames": numbers.frames,
            "fps": numbers.fps,
            "width": numbers.width,
            "height": numbers.height,
            "infotext": answer.infotext,
            **record,
        }
        self._write_json(self._record_file(clip.name), record)

    def _save_picture(self, clip: BenchClip) -> None:
        target = self._picture(clip)
        data = clip.picture_file.read_bytes()
        if not target.exists() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:
                temporary.write_bytes(data)

    def _picture(self, clip: BenchClip) -> Path:
        return self.path / PICTURES / clip.model / f"{clip.picture}{clip.picture_file.suffix.lower()}"

    def _record_file(self, name: str) -> Path:
        return self.path / CLIPS / f"{name}.json"

    @staticmethod
    def _write_json(file: Path, values: dict[str, Any]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    # ---- reading

    def described(self) -> dict[str, Any]:
        """run.json. Raises EvaluationError where the folder holds no run."""
        record = self._record(self.path / RUN)
        if record is None or "method" not in record:
            raise EvaluationError(
                f"{self.path} holds no run; give the --out folder of `python -m lib_pia.evaluation run`."
            )
        return record

    def finished(self) -> Iterator[FinishedClip]:
        """The finished clips, by name."""
        for file in sorted((self.path / CLIPS).glob("*/*.json")):
            record = self._record(file)
            if record is not None and (self.path / CLIPS / record["file"]).is_file():
                picture = self.path / PICTURES / record["model"] / record["picture_file"]
                yield FinishedClip(record["name"], self.path / CLIPS / record["file"], picture, record)

    @staticmethod
    def _record(file: Path) -> dict[str, Any] | None:
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None


def _encoded(answer: Answer, stem: Path, fps: float) -> Path:
    """Lossless, with the infotext inside."""
    files = encode_clip(answer.stills, stem, ["apng"], ClipOptions(fps=fps, infotext=answer.infotext))
    if not files:
        raise files.errors["apng"]
    return files[0].path
