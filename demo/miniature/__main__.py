"""Make the miniature: `python -m demo.miniature all --work DIR`, or one stage of it; a stage that was stopped goes on where it was.

Stages in order: vae, base, clips, motion, short, condition, refine, joint, settle, words, follow, straight, steer, polish, styles (or one
style's name), export. The ablations onehot, no_affinity and frozen_motion, and what they are compared with, reference, go on from `again`, which
goes on from `motion`. Two cores for a stage of PIA or for `straight`: `torchrun --nproc_per_node 2 -m demo.miniature steer --work DIR`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch

from lib_pia.checkpoint import load_pia_model, save_pia_model
from lib_pia.model import PIAModel

from . import base, lora, personalise, pia, vae, words
from .clips import ClipPool, PoolSource, clip_pool
from .net import MODELS, Miniature
from .scenes import FRAMES
from .trainers import StraightTrainer
from .training_log import Run


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Steps and sizes of every stage: those of the committed files."""

    vae_steps: int = 3000
    encoder_steps: int = 1409
    base_pictures: int = 10000
    base_steps: int = 2000
    clips: int = 2400
    motion_steps: int = 500
    short_steps: int = 500
    condition_steps: int = 1000
    refine_steps: int = 1000
    joint_steps: int = 500
    settle_steps: int = 1800
    words_steps: int = 500
    follow_steps: int = 575
    straight_steps: int = 2000
    steer_steps: int = 4000
    polish_steps: int = 1000
    again_steps: int = 300
    ablation_steps: int = 300
    style_steps: int = 350


class Work:
    """The folder in which the stages leave their results, and the results."""

    def __init__(self, folder: Path, recipe: Recipe, models: Path):
        self.folder, self.recipe, self.models = folder, recipe, models
        folder.mkdir(parents=True, exist_ok=True)

    def vae(self) -> None:
        trained = vae.train(Run(self.folder / "vae"), self.recipe.vae_steps, self.recipe.encoder_steps)
        torch.save(trained.state_dict(), self.folder / "vae" / "final.pt")

    def trained_vae(self) -> vae.AutoencoderKL:
        """The VAE in LDM's layout, latents whitened. While the decoder still trains: with the decoder of when the encoder was finished."""
        path = self.folder / "vae" / "final.pt"
        model = vae.AutoencoderKL()
        vae.widen_epsilon(model)
        model.load_state_dict(torch.load(path if path.exists() else path.with_name("encoder.pt"), weights_only=True))
        vae.whiten(model, vae.to_signed(vae.training_pictures(np.random.default_rng(3), 512)))
        vae.fold_epsilon(model)
        return model.eval().requires_grad_(False)

    def pictures(self, model: Miniature) -> base.Pool:
        """The pictures that the base trains on, made once."""
        path = self.folder / "base_pool.pt"
        if not path.exists():
            pool = base.picture_pool(model, np.random.default_rng(11), self.recipe.base_pictures)
            torch.save((pool.latents, pool.captions), path)
        return base.Pool(*torch.load(path, weights_only=True))

    def keep_base(self, model: Miniature, stage: str) -> None:
        torch.save({"unet": model.unet.state_dict(), "text": model.text.state_dict()}, self.folder / stage / "final.pt")

    def base(self) -> None:
        torch.manual_seed(10)
        model = Miniature()
        model.vae = self.trained_vae()
        base.train(model, Run(self.folder / "base"), self.pictures(model), self.recipe.base_steps)
        self.keep_base(model, "base")

    def refine(self) -> None:
        model = self.trained_base("base")
        torch.manual_seed(12)
        model.unet.requires_grad_(True)
        base.train(model, Run(self.folder / "refine"), self.pictures(model), self.recipe.refine_steps, base.REFINE)
        self.keep_base(model, "refine")

    def trained_base(self, stage: str = "straight") -> Miniature:
        """The base as `stage` left it, without gradients."""
        model = Miniature()
        state = torch.load(self.folder / stage / "final.pt", weights_only=True)
        model.unet.load_state_dict(state["unet"])
        model.text.load_state_dict(state["text"])
        model.vae = self.trained_vae()
        return model.eval().requires_grad_(False)

    def clips(self) -> None:
        clip_pool(self.trained_vae(), 21, self.recipe.clips).save(self.folder / "clips.pt")

    def pia_stage(self, name: str, before: str, options: dict, frames: int = FRAMES) -> None:
        """One stage of PIA's training on the frozen base, from the weights of the stage `before` ("" is from nothing)."""
        model = self.trained_base("base")
        start = self.trained_pia(before) if before else None
        pia.train_stage(model, start, self.source(frames), self.folder / name, options)

    def source(self, frames: int = FRAMES) -> PoolSource:
        return PoolSource(ClipPool.load(self.folder / "clips.pt"), self.trained_base("base"), 31, frames)

    def first_frames(self, base_stage: str) -> PoolSource:
        """Clips mostly conditioned on their first frame, with the texts of `base_stage`."""
        return PoolSource(ClipPool.load(self.folder / "clips.pt"), self.trained_base(base_stage), 32, first=pia.SETTLE_FIRST)

    def trained_pia(self, stage: str) -> PIAModel:
        return load_pia_model(self.folder / stage / "pia.safetensors", dtype=torch.float32)

    def motion(self) -> None:
        self.pia_stage("motion", "", pia.MOTION | {"steps": self.recipe.motion_steps})

    def short(self) -> None:
        self.pia_stage("short", "motion", pia.SHORT | {"steps": self.recipe.short_steps}, pia.SHORT_FRAMES)

    def condition(self) -> None:
        self.pia_stage("condition", "short", pia.WHOLE | {"steps": self.recipe.condition_steps})

    def joint_stage(self, name: str, before: tuple[str, str], options: dict, source: PoolSource) -> None:
        """PIA and base together, from the stages `before` of the base and of PIA."""
        model = self.trained_base(before[0])
        if pia.train_joint(model, self.trained_pia(before[1]), (source, self.pictures(model)), self.folder / name, options):
            self.keep_base(model, name)

    def joint(self) -> None:
        self.joint_stage("joint", ("refine", "condition"), pia.JOINT | {"steps": self.recipe.joint_steps}, self.source())

    def settle(self) -> None:
        options = pia.SETTLE | {"steps": self.recipe.settle_steps}
        self.joint_stage("settle", ("joint", "joint"), options, self.first_frames("base"))

    def words(self) -> None:
        model = self.trained_base("settle")
        words.train(model, Run(self.folder / "words"), ClipPool.load(self.folder / "clips.pt").captions, self.recipe.words_steps)
        self.keep_base(model, "words")

    def follow(self) -> None:
        options = pia.FOLLOW | {"steps": self.recipe.follow_steps}
        self.joint_stage("follow", ("words", "settle"), options, self.first_frames("words"))

    def straight(self) -> None:
        model = self.trained_base("follow")
        if base.train_straight(model, Run(self.folder / "straight"), self.pictures(model), self.recipe.straight_steps):
            self.keep_base(model, "straight")

    def straight_stage(self, name: str, before: str, options: dict) -> None:
        """A stage of PIA on the straight base, frozen, mostly conditioned on first frames."""
        model, source = self.trained_base("straight"), self.first_frames("straight")
        pia.train_stage(model, self.trained_pia(before), source, self.folder / name, options, StraightTrainer)

    def steer(self) -> None:
        self.straight_stage("steer", "follow", pia.STEER | {"steps": self.recipe.steer_steps})

    def polish(self) -> None:
        self.straight_stage("polish", "steer", pia.POLISH | {"steps": self.recipe.polish_steps})

    def again(self) -> None:
        self.straight_stage("again", "motion", pia.AGAIN | {"steps": self.recipe.again_steps})

    def ablation(self, name: str) -> None:
        self.straight_stage(name, "again", pia.COMPARED | {"steps": self.recipe.ablation_steps} | pia.ABLATIONS[name])

    def style(self, name: str) -> None:
        model = self.trained_base("straight")
        personalise.train(model, Run(self.folder / name), name, self.recipe.style_steps)
        lora.save(model.unet, self.folder / name / "lora.safetensors", {"ss_network_module": "networks.lora"})

    def styles(self) -> None:
        for name in personalise.SHIPPED:
            self.style(name)

    def export(self) -> None:
        """Write what is trained so far into the models' folder, fp16."""
        self.models.mkdir(parents=True, exist_ok=True)
        self.trained_base().save(self.models / "miniature.safetensors")
        ClipPool.load(self.folder / "clips.pt").scale().save(self.models / "miniature_affinity.json")
        save_pia_model(self.trained_pia("polish"), self.models / "miniature_pia.safetensors", half=True)
        for name in personalise.SHIPPED:
            path = self.folder / name / "lora.safetensors"
            if path.exists():
                shutil.copyfile(path, self.models / f"miniature_{name}.safetensors")

    def run(self, stage: str) -> None:
        if stage in pia.ABLATIONS:
            self.ablation(stage)
        elif stage in personalise.PERSONALISED:
            self.style(stage)
        else:
            getattr(self, stage)()


ALL = ("vae", "base", "clips", "motion", "short", "condition", "refine", "joint", "settle", "words", "follow", "straight", "steer", "polish",
       "styles", "export")  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m demo.miniature", description=__doc__, formatter_class=raw)
    stages = ("all", *ALL, "again", *pia.ABLATIONS, *personalise.PERSONALISED)
    parser.add_argument("stage", nargs="+", choices=stages, metavar="STAGE", help="all, or stages")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints, logs and pools (about 400 MB)")
    parser.add_argument("--models", type=Path, default=MODELS, help="where `export` writes")
    parser.add_argument("--recipe", type=json.loads, default={}, help='other steps or sizes, as JSON: {"base_steps": 500}')
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the layers are small: more threads wait for each other
    work = Work(options.work, Recipe(**options.recipe), options.models)
    for stage in ALL if "all" in options.stage else options.stage:
        work.run(stage)
    return 0


if __name__ == "__main__":
    sys.exit(main())
