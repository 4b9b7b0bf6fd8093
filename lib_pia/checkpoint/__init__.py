"""PIA model files: reading, writing, converting, and telling every other file apart.

python -m lib_pia.checkpoint IN OUT.safetensors [--half] [--force]      # converts
python -m lib_pia.checkpoint inspect FILE                               # says what a file is
"""

from .loading import FileKind, convert, describe, load_pia_model, save_pia_model

__all__ = ["FileKind", "convert", "describe", "load_pia_model", "save_pia_model"]
