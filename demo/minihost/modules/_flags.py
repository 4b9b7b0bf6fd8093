"""Command-line flags (those that mean something here; others are ignored), extensions' own ones included."""
import argparse
import os
import runpy
import shlex
from pathlib import Path

HOST_FOLDER = str(Path(__file__).resolve().parents[1])
SWITCHES = "api no-hashing no-gradio-queue disable-safe-unpickle disable-nan-check"
TEXTS = "api-auth gradio-auth subpath data-dir models-dir ckpt-dir lora-dir vae-path"


def _read(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("minihost", allow_abbrev=False)
    for name in SWITCHES.split():
        parser.add_argument(f"--{name}", action="store_true")
    for name in TEXTS.split():
        parser.add_argument(f"--{name}")
    parser.add_argument("--minihost-extension", action="append", default=[])
    for folder in extension_folders(parser.parse_known_args(words)[0]):
        if os.path.isfile(file := os.path.join(folder, "preload.py")):
            runpy.run_path(file)["preload"](parser)
    flags = parser.parse_known_args(words)[0]
    flags.data_dir = flags.data_dir or HOST_FOLDER
    flags.models_dir = flags.models_dir or os.path.join(flags.data_dir, "models")
    flags.lora_dir = flags.lora_dir or os.path.join(flags.models_dir, "Lora")
    flags.ckpt_dir = flags.ckpt_dir or os.path.join(flags.models_dir, "Stable-diffusion")
    return flags


def extension_folders(flags: argparse.Namespace) -> list[str]:
    """Those in extensions/ of the data folder, then those named by --minihost-extension."""
    inside = Path(flags.data_dir or HOST_FOLDER, "extensions").glob("*/")
    return [*sorted(str(folder) for folder in inside if folder.is_dir()), *flags.minihost_extension]


cmd_opts = _read(shlex.split(os.environ.get("COMMANDLINE_ARGS", "")))
