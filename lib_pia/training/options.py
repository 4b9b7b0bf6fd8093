"""The options of the command line. Those of the training itself are made from TrainConfig's fields."""
from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from .config import TrainConfig
from .ldm_checkpoint import CLIP_NAME

SCALE_FILE, STORE = "affinity_scale.json", "frames"
KINDS = {"int": int, "float": float, "float | None": float, "str": str}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m lib_pia.training", allow_abbrev=False,
                                     description="Trains PIA on a Stable Diffusion 1.x checkpoint with your clips.",
                                     epilog="Several GPUs: torchrun --nproc_per_node N -m lib_pia.training ...")
    _add_files(parser.add_argument_group("files"))
    _add_data(parser.add_argument_group("clips"))
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (%(default)s)")
    machine.add_argument("--workers", type=int, default=2, help="threads that prepare clips (%(default)s)")
    machine.add_argument("--quiet", action="store_true", help="no progress bars")
    training = parser.add_argument_group("training")
    for field in dataclasses.fields(TrainConfig):
        _add_field(training, field)
    return parser


def _add_files(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--checkpoint", type=Path, required=True, help="Stable Diffusion 1.x file with UNet, VAE and text encoder; it stays as it is")
    add("--config", type=Path, help="its yaml; default: the yaml of the same name beside it, else SD1.5's layout")
    add("--clip", default=CLIP_NAME, help="folder with CLIP's vocab.json and merges.txt, or a Hugging Face name (%(default)s)")
    add("--clips", type=Path, required=True, help="folder of clips: mp4, webm, gif, webp, apng, or folders of numbered pictures")
    add("--captions", type=Path, help="CSV with the columns clip,caption; default: CLIPS/captions.csv, else a .txt beside each clip")
    add("--out", type=Path, required=True, help="run folder: pia.safetensors, log.csv, state.pt")
    add("--init", type=Path, help="start from a PIA file or from an AnimateDiff file's motion modules; default: from nothing")
    add("--resume", action="store_true", help="go on with the run in OUT")


def _add_data(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--frames", type=int, default=16, help="frames of a training clip (%(default)s)")
    add("--stride", type=int, default=4, help="source frames from one frame to the next (%(default)s)")
    add("--resolution", type=size, help="N or WxH, multiples of 64: clips are resized to cover it and cropped (upstream: 256)")
    add("--crop", choices=("center", "random"), default="center")
    add("--flip", action="store_true", help="mirror half of the clips; not with captions that say left or right")
    add("--max-frames", type=int, default=1024, help="frames taken of each clip; a longer one is thinned evenly (%(default)s)")
    add("--cache-latents", action="store_true", help="run the VAE once over all frames instead of at every step")
    add("--affinity-scale", default="measured", help="measured: percentiles of your clips (default); webvid: the paper's; or the "
                                                     f"{SCALE_FILE} of another run")
    add("--store", type=Path, help=f"folder for decoded clips; default: OUT/{STORE}")


def _add_field(group: argparse._ArgumentGroup, field: dataclasses.Field) -> None:
    flag, text, choices = "--" + field.name.replace("_", "-"), field.metadata["help"], field.metadata["choices"]
    if field.type == "bool":
        group.add_argument(flag, action="store_true", help=text)
    else:
        group.add_argument(flag, type=KINDS[field.type], default=field.default, choices=choices or None, metavar=None if choices else "N",
                           help=f"{text}; default: %(default)s")


def size(text: str) -> tuple[int, int]:
    """N or WxH, px."""
    sides = [int(part) for part in text.lower().split("x")]
    if len(sides) > 2:
        raise ValueError(text)
    return sides[0], sides[-1]
