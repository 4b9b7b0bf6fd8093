"""The command line: `python -m lib_pia.training --checkpoint ... --clips ... --out ...`."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from lib_pia.affinity import WEBVID_PERCENTILES
from lib_pia.checkpoint import describe, load_pia_model
from lib_pia.errors import PIAError
from lib_pia.model import PIAModel, official_state_dict

from .clips import find_clips
from .config import TrainConfig
from .ldm_checkpoint import CLIP_NAME, LdmCheckpoint
from .processes import Processes, join_processes
from .run import STATE, check_resume, train
from .scale import AffinityScale
from .source import FolderClips
from .store import DataOptions, FrameStore
from .trainer import Trainer
from .weights import fresh_model, load_initial, read_tensors

SCALE_FILE, STORE = "affinity_scale.json", "frames"
KINDS = {"int": int, "float": float, "float | None": float, "str": str}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m lib_pia.training",
        allow_abbrev=False,
        description="Trains PIA on a Stable Diffusion 1.x checkpoint with your clips.",
        epilog="Several GPUs: torchrun --nproc_per_node N -m lib_pia.training ...",
    )
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
    add(
        "--checkpoint",
        type=Path,
        required=True,
        help="Stable Diffusion 1.x file with UNet, VAE and text encoder; it stays as it is",
    )
    add("--config", type=Path, help="its yaml; default: the yaml of the same name beside it, else SD1.5's layout")
    add(
        "--clip",
        default=CLIP_NAME,
        help="folder with CLIP's vocab.json and merges.txt, or a Hugging Face name (%(default)s)",
    )
    add(
        "--clips",
        type=Path,
        required=True,
        help="folder of clips: mp4, webm, gif, webp, apng, or folders of numbered pictures",
    )
    add(
        "--captions",
        type=Path,
        help="CSV with the columns clip,caption; default: CLIPS/captions.csv, else a .txt beside each clip",
    )
    add("--out", type=Path, required=True, help="run folder: pia.safetensors, log.csv, state.pt")
    add(
        "--init",
        type=Path,
        help="start from a PIA file or from an AnimateDiff file's motion modules; default: from nothing",
    )
    add("--resume", action="store_true", help="go on with the run in OUT")


def _add_data(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--frames", type=int, default=16, help="frames of a training clip (%(default)s)")
    add("--stride", type=int, default=4, help="source frames from one frame to the next (%(default)s)")
    add(
        "--resolution",
        type=size,
        help="N or WxH, multiples of 64: clips are resized to cover it and cropped (upstream: 256)",
    )
    add("--crop", choices=("center", "random"), default="center")
    add("--flip", action="store_true", help="mirror half of the clips; not with captions that say left or right")
    add(
        "--max-frames",
        type=int,
        default=1024,
        help="frames taken of each clip; a longer one is thinned evenly (%(default)s)",
    )
    add("--cache-latents", action="store_true", help="run the VAE once over all frames instead of at every step")
    add(
        "--affinity-scale",
        default="measured",
        help=f"measured: percentiles of your clips (default); webvid: the paper's; or the {SCALE_FILE} of another run",
    )
    add("--store", type=Path, help=f"folder for decoded clips; default: OUT/{STORE}")


def _add_field(group: argparse._ArgumentGroup, field: dataclasses.Field) -> None:
    flag, text, choices = "--" + field.name.replace("_", "-"), field.metadata["help"], field.metadata["choices"]
    if field.type == "bool":
        group.add_argument(flag, action="store_true", help=text)
    else:
        group.add_argument(
            flag,
            type=KINDS[field.type],
            default=field.default,
            choices=choices or None,
            metavar=None if choices else "N",
            help=f"{text}; default: %(default)s",
        )


def size(text: str) -> tuple[int, int]:
    """N or WxH, px."""
    sides = [int(part) for part in text.lower().split("x")]
    if len(sides) > 2:
        raise ValueError(text)
    return sides[0], sides[-1]


def _scale(choice: str, clips: FolderClips, out: Path, progress: bool) -> AffinityScale:
    """The affinity scale that --affinity-scale asks for; a measured one is kept in the run folder and used again."""
    if choice == "webvid":
        return AffinityScale(WEBVID_PERCENTILES)
    if choice != "measured":
        return AffinityScale.load(choice)
    file = out / SCALE_FILE
    return AffinityScale.load(file) if file.exists() else clips.measure_scale(progress)


def _prepare(args: argparse.Namespace, store: FrameStore, clips: FolderClips, processes: Processes) -> None:
    """The first process decodes, encodes and measures; the others take what it has written."""
    progress = processes.is_first and not args.quiet
    if processes.is_first:
        store.prepare(find_clips(args.clips, args.captions), clips.options, progress)
        if args.cache_latents:
            clips.use_cached_latents(progress=progress)
        clips.scale = _scale(args.affinity_scale, clips, args.out, progress)
        clips.scale.save(args.out / SCALE_FILE)
    processes.wait()
    if not processes.is_first:
        store.load()
        if args.cache_latents:
            clips.use_cached_latents(write=False)
        clips.scale = AffinityScale.load(args.out / SCALE_FILE)


def _start_from(model: PIAModel, path: Path) -> None:
    """Copies a PIA file, or an AnimateDiff file's motion modules, into `model`."""
    is_pia = describe(path).is_pia
    load_initial(
        model,
        official_state_dict(load_pia_model(path, dtype=torch.float32)) if is_pia else read_tensors(path),
        path.name,
    )


def _described(args: argparse.Namespace) -> dict[str, object]:
    """What the run depends on besides TrainConfig."""
    names = ("frames", "stride", "resolution", "crop", "flip", "max_frames")
    values = {name: getattr(args, name) for name in names}
    return {
        "checkpoint": args.checkpoint.name,
        "clips": args.clips.name,
        **values,
        "resolution": "x".join(map(str, args.resolution or ())),
    }


def _vae_name(checkpoint: Path) -> str:
    facts = checkpoint.stat()
    return hashlib.sha256(repr((str(checkpoint.resolve()), facts.st_size, facts.st_mtime_ns)).encode()).hexdigest()[:12]


def run(args: argparse.Namespace) -> Path | None:
    """Trains as the parsed arguments say; the path of the weights, in the first process."""
    config = TrainConfig(**{field.name: getattr(args, field.name) for field in dataclasses.fields(TrainConfig)})
    options = DataOptions(args.frames, args.stride, args.resolution, args.crop, args.flip, args.max_frames)
    check_resume(args.out, args.resume)
    with join_processes(args.device) as processes:
        if processes.is_first:
            find_clips(args.clips, args.captions)  # before the minutes that a checkpoint takes
        checkpoint = LdmCheckpoint(args.checkpoint, args.config, args.clip).to(processes.device)
        model = fresh_model(checkpoint.unet, config.seed)
        if args.init and not (args.out / STATE).exists():
            _start_from(model, args.init)
        args.out.mkdir(parents=True, exist_ok=True)
        store = FrameStore(args.store or args.out / STORE, _vae_name(args.checkpoint))
        clips = FolderClips(store, options, checkpoint, config.seed, config.batch_size * processes.count, args.workers)
        try:
            _prepare(args, store, clips, processes)
            trainer = Trainer(checkpoint.unet, model, config, clips, processes)
            weights = train(trainer, args.out, resume=args.resume, progress=not args.quiet, described=_described(args))
            return weights if processes.is_first else None
        finally:
            clips.close()


def main(argv: Sequence[str] | None = None) -> int:
    """0, or 1 after one sentence on stderr."""
    args = make_parser().parse_args(argv)
    try:
        weights = run(args)
    except PIAError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except torch.cuda.OutOfMemoryError:
        sys.stderr.write(
            "The GPU's memory is not enough; add --gradient-checkpointing and --precision bf16, or lower --batch-size, "
            "--resolution or --frames.\n"
        )
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"Stopped; the run in {args.out} goes on from its last save with --resume.\n")
        return 130
    if weights:
        sys.stdout.write(f"{weights}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
