"""Folders of the program and of the user's data."""
import argparse
import os
import shlex
from pathlib import Path


def _absolute(path):
    return str(Path(path).absolute())


commandline_args = os.environ.get("COMMANDLINE_ARGS", "")       # the only source of flags: minihost lives inside other programs
_argv = shlex.split(commandline_args)

cwd = os.getcwd()
modules_path = str(Path(__file__).resolve().parent)
script_path = str(Path(modules_path).parent)

parser_pre = argparse.ArgumentParser("minihost", add_help=False)
parser_pre.add_argument("--data-dir", type=_absolute, default=script_path)
parser_pre.add_argument("--models-dir", type=_absolute, default=None)
parser_pre.add_argument("--minihost-extension", type=_absolute, action="append", default=[])      # minihost's own: a folder to load
cmd_opts_pre = parser_pre.parse_known_args(_argv)[0]

data_path = cmd_opts_pre.data_dir
models_path = cmd_opts_pre.models_dir or os.path.join(data_path, "models")
extensions_dir, default_output_dir = (os.path.join(data_path, name) for name in ("extensions", "outputs"))
extensions_builtin_dir, config_states_dir, sd_configs_path, sd_model_file = (
    os.path.join(script_path, name) for name in ("extensions-builtin", "config_states", "configs", "model.ckpt"))
sd_default_config = f"{sd_configs_path}{os.sep}v1-inference.yaml"
default_sd_model_file = sd_model_file
