"""PIA model files: reading, writing, converting, and telling every other file apart.

python -m lib_pia.checkpoint IN OUT.safetensors [--half] [--force]      # converts
python -m lib_pia.checkpoint inspect FILE                               # says what a file is
"""

from .loading import FileKind, convert, describe, load_pia_model, save_pia_model
from .motion_lora import is_motion_lora, read_motion_lora, with_motion_loras

__all__ = [
    "FileKind",
    "convert",
    "describe",
    "is_motion_lora",
    "load_pia_model",
    "read_motion_lora",
    "save_pia_model",
    "with_motion_loras",
]
