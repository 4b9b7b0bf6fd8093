"""Command-line flags (those that mean something here; others are accepted and ignored), extensions' own ones included."""
import argparse
import os
import runpy
import shlex
from pathlib import Path

HOST_FOLDER = str(Path(__file__).resolve().parents[1])
SWITCHES = "api no-half no-hashing no-gradio-queue listen share disable-safe-unpickle disable-nan-check freeze-settings"
TEXTS = "api-auth gradio-auth theme subpath server-name"
FOLDERS = "data-dir models-dir ckpt-dir lora-dir vae-path"


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("minihost", allow_abbrev=False)
    for name in SWITCHES.split():
        parser.add_argument(f"--{name}", action="store_true")
    for kind, names in ((str, TEXTS), (_absolute, FOLDERS)):
        for name in names.split():
            parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--port", type=int)
    parser.add_argument("--minihost-extension", type=_absolute, action="append", default=[])
    return parser


def read(line: str) -> argparse.Namespace:
    """The flags of a command line; first without, then with what the extensions' preload.py adds."""
    words, parser = shlex.split(line), _parser()
    for folder in extension_folders(parser.parse_known_args(words)[0]):
        if os.path.isfile(file := os.path.join(folder, "preload.py")):
            runpy.run_path(file)["preload"](parser)
    flags = parser.parse_known_args(words)[0]
    flags.data_dir = flags.data_dir or HOST_FOLDER
    flags.models_dir = flags.models_dir or os.path.join(flags.data_dir, "models")
    flags.lora_dir = flags.lora_dir or os.path.join(flags.models_dir, "Lora")
    flags.ckpt_dir = flags.ckpt_dir or os.path.join(flags.models_dir, "Stable-diffusion")
    flags.ui_settings_file, flags.ui_config_file = (
        os.path.join(flags.data_dir, f"{name}.json") for name in ("config", "ui-config"))
    return flags


def extension_folders(flags: argparse.Namespace) -> list[str]:
    """Those in extensions/ of the data folder, then those named by --minihost-extension."""
    inside = Path(flags.data_dir or HOST_FOLDER, "extensions")
    found = sorted(str(entry) for entry in inside.iterdir() if entry.is_dir()) if inside.is_dir() else []
    return [*found, *flags.minihost_extension]


cmd_opts = read(os.environ.get("COMMANDLINE_ARGS", ""))
