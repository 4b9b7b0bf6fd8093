"""A folder of clips with captions: finding them, and refusing with a sentence what cannot be trained on."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from lib_pia.errors import MediaError, TrainingError
from lib_pia.video import read_clip
from lib_pia.video.frames import evenly

CLIP_SUFFIXES = (".mp4", ".webm", ".gif", ".webp", ".apng")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
CSV_COLUMNS = ("clip", "caption")


@dataclasses.dataclass(frozen=True)
class ClipFile:
    """A clip (a file, or a folder of numbered pictures), its name relative to the data folder, and its caption."""

    path: Path
    name: str
    caption: str


def _number_order(path: Path) -> tuple:
    """2.png before 10.png."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name))


def pictures_of(folder: Path) -> list[Path]:
    """The pictures of a folder, in the order of their numbers."""
    return sorted(
        (p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".")),
        key=_number_order,
    )


def _is_clip(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return bool(pictures_of(path)) if path.is_dir() else path.suffix.lower() in CLIP_SUFFIXES


def read_captions(table: Path) -> dict[str, str]:
    """clip -> caption of a CSV file with these two columns; TrainingError where it is none."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(
            f"{table} cannot be read as captions ({error}); it must be a CSV file in UTF-8 with the columns "
            "clip,caption."
        ) from None
    if not set(CSV_COLUMNS) <= set(columns):
        raise TrainingError(f"{table} has the columns {','.join(columns) or '(none)'}; it must have clip,caption.")
    return {(row["clip"] or "").strip(): (row["caption"] or "").strip() for row in rows}


def find_clips(folder: str | Path, captions: str | Path | None = None) -> list[ClipFile]:
    """The clips of `folder` (not of folders below, except folders of pictures) with their captions, sorted by name.

    captions: a CSV file with the columns clip,caption that says which clips to take; default FOLDER/captions.csv if
    there is one. Without it every clip needs its caption beside it: walk.mp4 and walk.txt, or walk/ and walk.txt.
    Raises TrainingError naming the first clip without a caption, a row without a clip, or the folder without clips.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise TrainingError(f"{folder} is no folder; --clips must be a folder of clips.")
    table = Path(captions) if captions else folder / "captions.csv"
    if captions or table.exists():
        found = [_listed(folder, table, name, caption) for name, caption in sorted(read_captions(table).items())]
    else:
        found = [ClipFile(path, path.name, _text_beside(path)) for path in sorted(folder.iterdir()) if _is_clip(path)]
    if not found:
        raise TrainingError(
            f"{folder} holds no clips; put {', '.join(s[1:] for s in CLIP_SUFFIXES)} files or folders of "
            "numbered pictures into it."
        )
    return found


def _listed(folder: Path, table: Path, name: str, caption: str) -> ClipFile:
    path = folder / name
    if not name or not path.exists() or not _is_clip(path):
        raise TrainingError(
            f"{table} names the clip {name!r}, which is not in {folder}; correct the row or add the clip."
        )
    if not caption:
        raise TrainingError(f"{name} has an empty caption in {table}; write what the clip shows.")
    return ClipFile(path, name, caption)


def _text_beside(path: Path) -> str:
    text = path.with_suffix(".txt") if path.is_file() else path.with_name(path.name + ".txt")
    try:
        caption = text.read_text(encoding="utf-8-sig").strip() if text.exists() else ""
    except (OSError, UnicodeDecodeError):
        raise TrainingError(f"{text} cannot be read; captions must be text in UTF-8.") from None
    if not caption:
        raise TrainingError(
            f"{path.name} has no caption; write one into {text.name} beside it, or list all clips in captions.csv "
            "(columns clip,caption)."
        )
    return caption


def read_frames(clip: ClipFile, max_frames: int) -> list[Image.Image]:
    """The frames, RGB, all of one size; of a clip with more than `max_frames` that many, evenly spread. TrainingError
    naming the clip where it cannot be read."""
    try:
        frames = [picture.convert("RGB") for picture in _decoded(clip.path, max_frames)]
    except (MediaError, OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise TrainingError(
            f"{clip.name} cannot be read ({str(error).rstrip('.')}); take it out of the folder or replace it."
        ) from None
    sizes = sorted({frame.size for frame in frames})
    if len(sizes) > 1:
        (one, other), *_ = zip(sizes, sizes[1:])
        raise TrainingError(
            f"{clip.name} has pictures of {one[0]}x{one[1]} and of {other[0]}x{other[1]}; all pictures of one "
            "clip must have the same size."
        )
    return frames


def _decoded(path: Path, max_frames: int) -> list[Image.Image]:
    if path.is_dir():
        pictures = pictures_of(path)
        return [Image.open(pictures[place]) for place in evenly(len(pictures), max_frames)]
    return read_clip(path, max_frames, min_frames=1)
