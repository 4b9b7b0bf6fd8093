"""`python -m lib_pia.video info FILE` prints the infotext and the numbers of a clip."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lib_pia.errors import PIAError

from .read import clip_info, clip_infotext


def _info(path: Path) -> str:
    """What `info` prints."""
    numbers = clip_info(path)
    head = [text] if (text := clip_infotext(path)) is not None else ["(no infotext)"]
    return "\n".join(
        [
            *head,
            "",
            f"{numbers.format}, {numbers.frames} frames, {numbers.fps:.4g} fps, "
            f"{numbers.width}x{numbers.height}, {numbers.duration:.3f} s",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 = done, 1 = the file cannot be read, 2 = wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m lib_pia.video", description="Says what is in a clip.")
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="print a clip's infotext, frames, fps, size and duration")
    info.add_argument("file", type=Path)
    asked = parser.parse_args(arguments)
    try:
        text = _info(asked.file)
    except PIAError as error:
        sys.stderr.write(error.detail + "\n")
        return 1
    sys.stdout.buffer.write(text.encode() + b"\n") if hasattr(sys.stdout, "buffer") else sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
