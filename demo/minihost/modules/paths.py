"""Folders of the program and of the user. Importing it also puts the checked `torch.load` in place, as in the WebUI."""

import os

from modules import safe  # noqa: F401
from modules._flags import HOST_FOLDER, cmd_opts

script_path, data_path = HOST_FOLDER, cmd_opts.data_dir
models_path = os.path.join(data_path, "models")
