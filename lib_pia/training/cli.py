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
from .files import read_tensors
from .folder_source import FolderClips
from .frames import DataOptions, FrameStore
from .fresh import fresh_model, load_initial
from .ldm_checkpoint import LdmCheckpoint
from .options import SCALE_FILE, STORE, make_parser
from .processes import Processes, join_processes
from .run import STATE, check_resume, train
from .scale import AffinityScale
from .trainer import Trainer


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
    load_initial(model, official_state_dict(load_pia_model(path, dtype=torch.float32)) if is_pia else read_tensors(path), path.name)


def _described(args: argparse.Namespace) -> dict[str, object]:
    """What the run depends on besides TrainConfig."""
    names = ("frames", "stride", "resolution", "crop", "flip", "max_frames")
    values = {name: getattr(args, name) for name in names}
    return {"checkpoint": args.checkpoint.name, "clips": args.clips.name, **values, "resolution": "x".join(map(str, args.resolution or ()))}


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
            find_clips(args.clips, args.captions)                   # before the minutes that a checkpoint takes
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
        sys.stderr.write("The GPU's memory is not enough; add --gradient-checkpointing and --precision bf16, or lower --batch-size, "
                         "--resolution or --frames.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"Stopped; the run in {args.out} goes on from its last save with --resume.\n")
        return 130
    if weights:
        sys.stdout.write(f"{weights}\n")
    return 0

