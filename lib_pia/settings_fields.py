"""The one table of settings: `FIELDS`, which the panel, the API and the infotext map to."""

from __future__ import annotations

import dataclasses
from typing import Any

MOTIONS = ("animate", "loop", "style_transfer", "custom")
MAGNITUDES = ("small", "moderate", "large")
FORMATS = ("gif", "mp4", "webp", "webm", "apng", "png")
START_FROM = ("noise", "image")
LONGER = ("chain", "slide")
MASK_MEANS = ("keep", "motion", "both")
FAST = (0, 2, 3, 4, 5)  # more gains little: the outer blocks run on every step
MIN_FRAMES, MAX_FRAMES = 2, 512  # own choice: 512 frames are a minute at 8 FPS
MIN_WINDOW, MAX_WINDOW = 8, 32  # 32 = the trained position encoding (PIA configs: temporal_position_encoding_max_len)
TRAINED_WINDOW = 16  # PIA configs: sample_n_frames; the window of clips that are too long for a single one
CHAIN_OVERLAP = 4  # own choice, measured: `python dev.py bench beyond`
MAX_POINTS = 1024  # more affinity points than any curve needs; bounds what a request can make us parse
MAX_LORAS = 8  # own choice
MAX_PICTURES = 16  # own choice: each is encoded and held
MAX_BASE64 = 96 << 20  # characters of a file in a request: 72 MB, more than any clip of this extension
FOLDS = {"longer": "Longer and directed", "picture": "Picture and colour", "files": "Files"}  # of the panel


@dataclasses.dataclass(frozen=True)
class Field:
    """One setting: how it is called, what it may be, and what it is called in the panel and in the infotext.

    `optional`: null is a value too. `fold`: the key in `FOLDS` of the panel's fold, "" for what is always seen.
    `restored`: whether the infotext can give the value back (files are only named there).
    """

    name: str
    label: str
    default: Any
    kind: str  # bool, int, number, choice, choices, text, name, curve, pictures, clip, frames, loras
    help: str
    infotext: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple = ()
    optional: bool = False
    fold: str = ""
    restored: bool = True


@dataclasses.dataclass(frozen=True)
class ClipPicture:
    """One further picture of a clip: `frame` as `condition_frame`, `image` base64 text or a data URL."""

    frame: int
    image: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class MotionLora:
    """A motion LoRA: `name` of its file, and how strongly it counts."""

    name: str
    weight: float = 1.0


FIELDS: tuple[Field, ...] = (
    Field(
        "enabled", "Animate (PIA)", False, "bool", "Animate the picture instead of making still ones.", "PIA enabled"
    ),
    Field(
        "model",
        "PIA model",
        None,
        "text",
        "File in models/PIA. Automatic: the only or first one found.",
        "PIA model",
        fold="files",
    ),
    Field(
        "num_frames",
        "Frames",
        16,
        "int",
        "Length of the clip; the model was trained with 16.",
        "PIA frames",
        MIN_FRAMES,
        MAX_FRAMES,
        1,
    ),
    Field("fps", "FPS", 8, "int", "Frames per second of the finished clip.", "PIA fps", 1, 60, 1),
    Field(
        "motion",
        "Motion",
        "animate",
        "choice",
        "animate: move away from the picture; loop: come back to it; style_transfer: redraw it in this "
        "checkpoint's style; "
        "custom: the affinity numbers.",
        "PIA motion",
        choices=MOTIONS,
    ),
    Field(
        "magnitude",
        "Magnitude",
        "moderate",
        "choice",
        "How much moves. More motion is less like the picture.",
        "PIA magnitude",
        choices=MAGNITUDES,
    ),
    Field(
        "affinity",
        "Affinity",
        None,
        "curve",
        "Numbers from 0 (moves freely) to 1 (stays like the picture): 2 or more points, spread over the clip. "
        "Empty: from the motion.",
        "PIA affinity",
        0.0,
        1.0,
        fold="longer",
    ),
    Field(
        "condition_frame",
        "Condition frame",
        0,
        "int",
        "The frame that equals the picture; negative counts from the end.",
        "PIA condition frame",
        -MAX_FRAMES,
        MAX_FRAMES - 1,
        1,
        fold="picture",
    ),
    Field(
        "start_from",
        "Start from",
        "noise",
        "choice",
        "noise: the paper's sampling; image: img2img's own start with its denoising strength.",
        "PIA start from",
        choices=START_FROM,
        fold="picture",
    ),
    Field(
        "color_match",
        "Colour match",
        0.0,
        "number",
        "Pulls the whole clip's colours towards the picture's (0 off, 1 full).",
        "PIA color match",
        0.0,
        1.0,
        0.05,
        fold="picture",
    ),
    Field(
        "formats",
        "Formats",
        ("gif", "mp4"),
        "choices",
        "Files to write. png: every frame.",
        "PIA formats",
        choices=FORMATS,
        fold="files",
    ),
    Field(
        "loop_count",
        "Repeats",
        0,
        "int",
        "How often GIF, WebP and APNG play; 0 is for ever.",
        "PIA loop count",
        0,
        1000,
        1,
        fold="files",
    ),
    Field(
        "ping_pong",
        "Ping-pong",
        False,
        "bool",
        "Play the inner frames backwards at the end.",
        "PIA ping-pong",
        fold="files",
    ),
    Field(
        "interpolate",
        "Interpolate",
        1,
        "choice",
        "Multiply the frame rate by motion-compensated interpolation.",
        "PIA interpolate",
        choices=(1, 2, 4),
        fold="files",
    ),
    Field(
        "longer",
        "Longer clips",
        "chain",
        "choice",
        "More frames than one window: chain goes on from each window's last frames; slide blends windows, for loops.",
        "PIA longer",
        choices=LONGER,
        fold="longer",
    ),
    Field(
        "window",
        "Window",
        None,
        "int",
        "Frames that are computed together. 0 or empty: 16 in clips of more than 32 frames.",
        "PIA window",
        MIN_WINDOW,
        MAX_WINDOW,
        1,
        optional=True,
        fold="longer",
    ),
    Field(
        "overlap",
        "Overlap",
        None,
        "int",
        "Frames that two windows share, at most half a window. 0 or empty: 4 in a chain, half a window in a slide.",
        "PIA overlap",
        1,
        MAX_WINDOW // 2,
        1,
        optional=True,
        fold="longer",
    ),
    Field(
        "anchor",
        "Anchor",
        0.0,
        "number",
        "Chain: how far each window is pulled back to the picture. Small and moderate motion hold longer.",
        "PIA anchor",
        0.0,
        1.0,
        0.05,
        fold="longer",
    ),
    Field(
        "pictures",
        "End picture",
        (),
        "pictures",
        "What the clip arrives at. By the API any number of pictures, each at its frame.",
        "PIA pictures",
        fold="longer",
        restored=False,
    ),
    Field(
        "continue_from",
        "Continue",
        None,
        "clip",
        "A clip whose last frames the new one goes on from.",
        "PIA continue from",
        fold="longer",
        restored=False,
    ),
    Field(
        "continue_whole",
        "Deliver the whole clip",
        True,
        "bool",
        "Continue: the old frames and the new ones in one clip; otherwise the new ones alone.",
        "PIA continue whole",
        fold="longer",
    ),
    Field(
        "mask_means",
        "Mask means",
        "keep",
        "choice",
        "keep: inpaint the masked part; motion: only the masked part moves; both.",
        "PIA mask means",
        choices=MASK_MEANS,
        fold="longer",
    ),
    Field(
        "control_video",
        "Control clip",
        None,
        "frames",
        "A clip, or the pictures of a folder in the order of their names, that ControlNet's units without a picture "
        "follow, frame by frame.",
        "PIA control clip",
        fold="longer",
        restored=False,
    ),
    Field(
        "attention_of",
        "Attention of",
        None,
        "text",
        "A word of the prompt: where it acts is written as a heat clip and as numbers. Empty: nothing.",
        "PIA attention of",
        fold="files",
    ),
    Field(
        "fast",
        "Fast",
        0,
        "choice",
        "Every how many steps the whole network is computed; on the others its outer blocks alone. 0: on every step.",
        "PIA fast",
        choices=FAST,
        fold="picture",
    ),
    Field(
        "upscale",
        "Upscale",
        1.0,
        "number",
        "Enlarges the finished frames, to multiples of 8 pixels.",
        "PIA upscale",
        1.0,
        4.0,
        0.25,
        fold="picture",
    ),
    Field(
        "upscaler",
        "Upscaler",
        "Lanczos",
        "name",
        "What enlarges them, of the upscalers that Extras has.",
        "PIA upscaler",
        fold="picture",
    ),
    Field(
        "hires_scale",
        "Hires scale",
        1.0,
        "number",
        "Samples the clip again at this many times its size; 1: off.",
        "PIA hires scale",
        1.0,
        4.0,
        0.25,
        fold="picture",
    ),
    Field(
        "hires_strength",
        "Hires strength",
        0.6,
        "number",
        "Denoising strength of that second pass.",
        "PIA hires strength",
        0.0,
        1.0,
        0.05,
        fold="picture",
    ),
    Field(
        "motion_loras",
        "Motion LoRA",
        (),
        "loras",
        "Motion LoRA of AnimateDiff, as in <name:0.7>; files in models/PIA or models/Lora.",
        "PIA motion LoRA",
        -4.0,
        4.0,
        fold="longer",
    ),
)
FIELD = {field.name: field for field in FIELDS}
