"""`torch.load` as the WebUI leaves it: a file that its check refuses (also what newer torch writes) gives None."""
import re
import zipfile

import torch
from modules import errors
from modules._flags import cmd_opts

MEMBERS = re.compile(r"[^/]+/(?:data/\d+|data\.pkl|version|byteorder|\.data/serialization_id)")
unsafe_torch_load = torch.load


def load(filename, *args, **kwargs):
    try:
        if zipfile.is_zipfile(filename) and not cmd_opts.disable_safe_unpickle:
            with zipfile.ZipFile(filename) as archive:
                if not all(map(MEMBERS.fullmatch, archive.namelist())):
                    raise ValueError("the file has unexpected members")
        unsafe_torch_load(filename, map_location="meta", weights_only=not cmd_opts.disable_safe_unpickle)
    except Exception:
        errors.report(f"{filename} is not read: it failed the check of pickled files", exc_info=True)
        return None
    return unsafe_torch_load(filename, *args, **kwargs)


torch.load = load
