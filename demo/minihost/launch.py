"""What extensions' install.py and the infotext ask of the WebUI's launcher. Nothing is installed here."""

import importlib.util


def git_tag():
    return "v1.10.1-minihost"


def is_installed(package):
    return importlib.util.find_spec(package.replace("-", "_")) is not None


def run_pip(command, desc=None, live=False):
    raise RuntimeError(f"minihost does not install packages: pip {command}")
