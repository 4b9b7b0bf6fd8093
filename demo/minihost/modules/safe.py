"""`torch.load` as the WebUI leaves it: a file that its check refuses gives None, and no exception.

The check knows the members that torch's zip files had when it was written, so newer ones are refused too.
"""
import re
import zipfile

import torch
from modules import errors
from modules._flags import cmd_opts

MEMBERS = re.compile(r"[^/]+/(?:data/\d+|data\.pkl|version|byteorder|\.data/serialization_id)")
unsafe_torch_load = torch.load


def load(filename, *args, **kwargs):
    try:
        if not cmd_opts.disable_safe_unpickle:
            _check(filename)
    except Exception:
        errors.report(f"{filename} is not read: it failed the check of pickled files", exc_info=True)
        return None
    return unsafe_torch_load(filename, *args, **kwargs)


def _check(filename) -> None:
    if zipfile.is_zipfile(filename):
        with zipfile.ZipFile(filename) as archive:
            strange = [name for name in archive.namelist() if not MEMBERS.fullmatch(name)]
        if strange:
            raise ValueError(f"unexpected members: {strange[:3]}")
    unsafe_torch_load(filename, map_location="meta", weights_only=True)


torch.load = load
