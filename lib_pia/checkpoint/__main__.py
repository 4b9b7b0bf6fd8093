"""The command line; see the package's docstring."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lib_pia.errors import PIAError

from .loading import convert, describe

EXIT_CODES = "exit code: 0 done (inspect: the file is a PIA model), 1 the file cannot be used, 2 wrong usage"


def main(arguments: Sequence[str]) -> int:
    """Runs the command line on `arguments` (without the program's name) and gives the exit code."""
    if arguments and arguments[0] == "inspect":
        return _inspect(arguments[1:])
    parser = argparse.ArgumentParser(
        "python -m lib_pia.checkpoint",
        epilog=EXIT_CODES,
        description="Convert a PIA model to safetensors. `inspect FILE` instead says what a file is.",
    )
    parser.add_argument("source", metavar="IN", type=Path, help="PIA model in any form, such as pia.ckpt")
    parser.add_argument("out", metavar="OUT.safetensors", type=Path)
    parser.add_argument("--half", action="store_true", help="store float16, half the size")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    options = parser.parse_args(arguments)
    try:
        convert(options.source, options.out, half=options.half, force=options.force)
    except PIAError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB\n")
    return 0


def _inspect(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m lib_pia.checkpoint inspect", description="Say what a file is.", epilog=EXIT_CODES
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    kind = describe(parser.parse_args(arguments).file)
    if not kind.is_pia:
        sys.stdout.write(f"{kind.detail}\n")
        return 1
    widths = "/".join(map(str, kind.channels))
    sys.stdout.write(
        f"{arguments[0]}: {kind.name} ({kind.detail}), {kind.parameters:,} numbers, {kind.dtype}, "
        f"widths {widths}, up to {kind.max_frames} frames\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
