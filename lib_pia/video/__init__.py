"""Frames -> clip files, and frames, numbers and infotext back out of them."""

from .clip_files import ClipFiles, encode_clip
from .encode import ClipFile, ClipOptions
from .read import ClipInfo, clip_info, clip_infotext, read_clip

__all__ = ["ClipFile", "ClipFiles", "ClipInfo", "ClipOptions", "clip_info", "clip_infotext", "encode_clip", "read_clip"]
