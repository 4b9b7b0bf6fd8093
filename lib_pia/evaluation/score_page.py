"""The page of a score: the table, and all clips side by side with their numbers. Its folder is all that it needs."""

from __future__ import annotations

import html
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lib_pia.video import ClipOptions, encode_clip

from .answer import frames_of
from .measures import MEASURES

if TYPE_CHECKING:
    from .score import MethodScores

PAGE = Path(__file__).with_name("score_page.html")


def write_page(methods: list[MethodScores], notes: list[str], out: Path) -> None:
    """index.html, clips/<method>/<name>.mp4 and pictures/<name>.png in `out`."""
    names = list(dict.fromkeys(name for method in methods for name in method.values))
    parts = {
        "TABLE": _table(methods),
        "CLIPS": "\n".join(_row(methods, name, out) for name in names),
        "NOTES": "".join(f"<li>{html.escape(text)}</li>" for text in notes),
        "MEASURES": "".join(f"<dt>{html.escape(m.title)}<dd>{html.escape(m.text)}" for m in MEASURES),
    }
    page = PAGE.read_text(encoding="utf-8")
    for key, text in parts.items():
        page = page.replace(f"<!--{key}-->", text)
    (out / "index.html").write_text(page, encoding="utf-8")


def _table(methods: list[MethodScores]) -> str:
    from .score import table_rows

    head, *rows = table_rows(methods)
    lines = ["<tr>" + "".join(f"<th scope=col>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    for title, *cells in rows:
        inside = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        lines.append(f"<tr><th scope=row>{html.escape(title)}</th>{inside}</tr>")
    return "\n".join(lines)


def _row(methods: list[MethodScores], name: str, out: Path) -> str:
    """One picture and prompt: the picture, then every method's clip."""
    first = next(method.clips[name] for method in methods if name in method.clips)
    picture = out / "pictures" / f"{name}{first.picture.suffix}"
    picture.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(first.picture, picture)
    figures = [
        f'<figure><img src="{_address(picture, out)}" alt="" loading=lazy><figcaption>picture</figcaption></figure>'
    ]
    for number, method in enumerate(methods):
        if name not in method.values:
            figures.append(
                f"<figure><p class=none>no clip</p><figcaption>{html.escape(method.name)}</figcaption></figure>"
            )
            continue
        clip = _clip(method, name, out / "clips" / str(number) / name)
        said = f"{method.name}, {first.record['prompt']}"
        figures.append(
            f'<figure><video src="{_address(clip, out)}" muted loop playsinline preload=none tabindex=0 '
            f'aria-label="{html.escape(said)}"></video><figcaption>{html.escape(method.name)}'
            f"<small>{_numbers(method.values[name])}</small></figcaption></figure>"
        )
    return (
        f"<section><h3>{html.escape(name)}</h3><p>{html.escape(first.record['prompt'])}</p>"
        f"<div class=row>{''.join(figures)}</div></section>"
    )


def _clip(method: MethodScores, name: str, stem: Path) -> Path:
    """The clip as MP4, which every browser plays and which is a tenth as large."""
    clip = method.clips[name]
    files = encode_clip(frames_of(clip.file), stem, ["mp4"], ClipOptions(fps=clip.record["fps"]))
    if not files:
        raise files.errors["mp4"]
    return files[0].path


def _numbers(row: dict) -> str:
    return " · ".join(f"{m.title} {row[m.key]:.{m.decimals}f}" for m in MEASURES if row.get(m.key) is not None)


def _address(file: Path, out: Path) -> str:
    from urllib.parse import quote

    return quote(file.relative_to(out).as_posix())
