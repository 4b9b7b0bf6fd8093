"""Command-line flags (those that mean something here, and extensions' own), and folders of the program and the user.

Importing it also puts the checked `torch.load` in place, as in the WebUI.
"""

import argparse
import os
import runpy
import shlex
from pathlib import Path

from modules import safe  # noqa: F401

script_path = str(Path(__file__).resolve().parents[1])
words = shlex.split(os.environ["COMMANDLINE_ARGS"])
parser = argparse.ArgumentParser("minihost", allow_abbrev=False)
parser.add_argument("--no-gradio-queue", action="store_true")
parser.add_argument("--minihost-extension", action="append", default=[])
for name in ("api-auth", "gradio-auth", "subpath", "data-dir"):
    parser.add_argument(f"--{name}")
flags = parser.parse_known_args(words)[0]
data_path, models_path = flags.data_dir, os.path.join(flags.data_dir, "models")
inside = sorted(str(folder) for folder in Path(data_path, "extensions").glob("*/"))
extensions = [*inside, *flags.minihost_extension]
for folder in extensions:
    if os.path.isfile(file := os.path.join(folder, "preload.py")):
        runpy.run_path(file)["preload"](parser)
cmd_opts = argparse.Namespace(**vars(parser.parse_known_args(words)[0]), extensions=extensions)
