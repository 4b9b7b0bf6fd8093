"""Command-line flags (those that mean something here; others are ignored), extensions' own ones included."""

import argparse
import os
import runpy
import shlex
from pathlib import Path

HOST_FOLDER = str(Path(__file__).resolve().parents[1])
WITH_VALUE = "api-auth gradio-auth subpath data-dir"


def _read(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("minihost", allow_abbrev=False)
    parser.add_argument("--no-gradio-queue", action="store_true")
    for name in WITH_VALUE.split():
        parser.add_argument(f"--{name}")
    parser.add_argument("--minihost-extension", action="append", default=[])
    for folder in extension_folders(parser.parse_known_args(words)[0]):
        if os.path.isfile(file := os.path.join(folder, "preload.py")):
            runpy.run_path(file)["preload"](parser)
    return parser.parse_known_args(words)[0]


def extension_folders(flags: argparse.Namespace) -> list[str]:
    """Those in extensions/ of the data folder, then those named by --minihost-extension."""
    inside = Path(flags.data_dir, "extensions").glob("*/")
    return [*sorted(str(folder) for folder in inside if folder.is_dir()), *flags.minihost_extension]


cmd_opts = _read(shlex.split(os.environ["COMMANDLINE_ARGS"]))
