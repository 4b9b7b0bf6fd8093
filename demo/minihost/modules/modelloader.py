"""Finds model files in folders, and downloads one when it is asked to."""
from __future__ import annotations

import os
from urllib.parse import urlparse

from modules import shared


def load_file_from_url(
    url: str,
    *,
    model_dir: str,
    progress: bool = True,
    file_name: str | None = None,
    hash_prefix: str | None = None,
) -> str:
    """The path of `file_name` in `model_dir`, downloaded if it is not there yet."""
    os.makedirs(model_dir, exist_ok=True)
    path = os.path.abspath(os.path.join(model_dir, file_name or os.path.basename(urlparse(url).path)))
    if not os.path.exists(path):
        from torch.hub import download_url_to_file

        download_url_to_file(url, path, progress=progress, hash_prefix=hash_prefix)
    return path


def load_models(model_path: str, model_url: str = None, command_path: str = None, ext_filter=None, download_name=None, ext_blacklist=None,
                hash_prefix=None) -> list:
    """Files with the given suffixes in `command_path` and `model_path`; minihost never downloads here."""
    folders = dict.fromkeys(folder for folder in (command_path, model_path) if folder and os.path.exists(folder))
    found = (path for folder in folders for path in shared.walk_files(folder, allowed_extensions=ext_filter))
    return list(dict.fromkeys(path for path in found if not path.endswith(tuple(ext_blacklist or ("\0",)))))


def friendly_name(file: str):
    path = urlparse(file).path if file.startswith("http") else file
    return os.path.splitext(os.path.basename(path))[0]
