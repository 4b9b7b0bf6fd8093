"""`torch.load` as the WebUI leaves it: a file that fails the check gives None instead of an error.

The check of a zip file looks at its member names, so it also refuses what newer torch versions write.
"""
import re
import zipfile

import torch
from modules import errors

_MEMBER = re.compile(r"[^/]+/(data/\d+|version|byteorder|\.data/serialization_id|data\.pkl)")
unsafe_torch_load = torch.load
global_extra_handler = None


def check_zip_filenames(filename, names):
    for name in names:
        if not _MEMBER.fullmatch(name):
            raise Exception(f"{filename} has an unexpected member {name}")


def check_pt(filename, extra_handler):
    if zipfile.is_zipfile(filename):
        with zipfile.ZipFile(filename) as archive:
            check_zip_filenames(filename, archive.namelist())
    unsafe_torch_load(filename, map_location="meta", weights_only=True)      # torch's own restricted unpickler


def load(filename, *args, **kwargs):
    return load_with_extra(filename, global_extra_handler, *args, **kwargs)


def load_with_extra(filename, extra_handler=None, *args, **kwargs):
    from modules import shared

    try:
        if shared.cmd_opts.disable_safe_unpickle is not True:
            check_pt(filename, extra_handler)
    except Exception:
        errors.report(f"{filename} did not pass the check of pickled files and is not read; --disable-safe-unpickle skips the check.",
                      exc_info=True)
        return None
    return unsafe_torch_load(filename, *args, **kwargs)


torch.load = load
