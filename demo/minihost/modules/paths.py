"""Folders of the program and of the user. Importing it also puts the checked `torch.load` in place, as in the WebUI."""
from modules import safe  # noqa: F401
from modules._flags import HOST_FOLDER, cmd_opts

script_path = HOST_FOLDER
data_path, models_path = cmd_opts.data_dir, cmd_opts.models_dir
