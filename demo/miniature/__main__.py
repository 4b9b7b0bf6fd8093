"""Make the miniature: `python -m demo.miniature all --work DIR`, or stages of it; a stage that was stopped goes on
where it was. Under torchrun (`torchrun --nproc-per-node 2 -m demo.miniature ...`) the processes share each batch of
`base`, `motion`, `condition` and the ablations, and the styles; make `vae` and `clips` without it, one process's work.

Stages in order: vae, clips, base, motion, condition, styles (or one style's name), export. The ablations, each with a
seed (onehot.1), and what they are compared with, reference.1 and so on, go on from `motion` as `condition` does.
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
from lib_pia.training import Processes, join_processes

from . import base, lora, pia, text, vae
from .clips import ClipPool, PoolSource, clip_pool
from .net import MODELS, Miniature
from .training_log import Run

ALL = ("vae", "clips", "base", "motion", "condition", "styles", "export")
SHARED = ("base", "motion", "condition", "styles")  # stages for which every process works


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Steps and sizes of every stage."""

    vae_steps: int = 2600
    encoder_steps: int = 1300
    clips: int = 3500
    text_width: int = 48  # of the embedding of 49 408 tokens: 16 less than the UNet's width are 1.6 MB less
    text_steps: int = 600
    base_steps: int = 2700
    motion_steps: int = 150
    condition_steps: int = 6000
    ablation_steps: int = 200
    style_steps: int = 250


class Work:
    """The folder in which the stages leave their results, and the results."""

    def __init__(self, folder: Path, recipe: Recipe, models: Path, processes: Processes | None = None):
        self.folder, self.recipe, self.models, self.processes = folder, recipe, models, processes or Processes()
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, stage: str) -> None:
        if stage in pia.COMPARED:
            name, seed = stage.split(".")
            options = (
                pia.CONDITION | {"steps": self.recipe.ablation_steps, "seed": 100 + int(seed)} | pia.ABLATIONS[name]
            )
            self.pia_stage(stage, "motion", options)
        elif stage in SHARED:
            getattr(self, stage)()
        elif self.processes.is_first:
            self.style(stage) if stage in lora.PERSONALISED else getattr(self, stage)()
        self.processes.wait()

    def vae(self) -> None:
        trained = vae.train(Run(self.folder / "vae"), self.recipe.vae_steps, self.recipe.encoder_steps)
        torch.save(trained.state_dict(), self.folder / "vae" / "final.pt")

    def trained_vae(self) -> vae.AutoencoderKL:
        """The VAE in LDM's layout, latents whitened. While the decoder still trains: with the decoder of when the
        encoder was finished."""
        path = self.folder / "vae" / "final.pt"
        model = vae.AutoencoderKL()
        vae.widen_epsilon(model)
        model.load_state_dict(torch.load(path if path.exists() else path.with_name("encoder.pt"), weights_only=True))
        vae.whiten(model, vae.to_signed(vae.training_pictures(np.random.default_rng(3), vae.WHITENED)))
        vae.fold_epsilon(model)
        return model.eval().requires_grad_(False)

    def clips(self) -> None:
        clip_pool(self.trained_vae(), 21, self.recipe.clips).save(self.folder / "clips.pt")

    def pool(self) -> ClipPool:
        return ClipPool.load(self.folder / "clips.pt")

    def base(self) -> None:
        torch.manual_seed(10)
        model, first = Miniature(self.recipe.text_width), self.processes.is_first
        text.train(model, Run(self.folder / "base" / "text", writes=first), self.recipe.text_steps)
        run = Run(self.folder / "base", writes=first)
        base.train(model, run, self.pool(), self.recipe.base_steps, processes=self.processes)
        if first:
            state = {"unet": model.unet.state_dict(), "text": model.text.state_dict()}
            torch.save(state, self.folder / "base" / "final.pt")

    def trained_base(self) -> Miniature:
        """The base, without gradients."""
        model = Miniature(self.recipe.text_width)
        state = torch.load(self.folder / "base" / "final.pt", weights_only=True)
        model.unet.load_state_dict(state["unet"])
        model.text.load_state_dict(state["text"])
        model.vae = self.trained_vae()
        return model.eval().requires_grad_(False)

    def pia_stage(self, name: str, before: str, options: dict) -> None:
        """A stage of PIA, from the weights of the stage `before` ("": from nothing)."""
        model = self.trained_base()
        start = load_pia_model(self.folder / before / "pia.safetensors", dtype=torch.float32) if before else None
        source = PoolSource(self.pool(), model, 31)
        pia.train_stage(model.unet, start, source, self.folder / name, options, self.processes)

    def motion(self) -> None:
        self.pia_stage("motion", "", pia.MOTION | {"steps": self.recipe.motion_steps})

    def condition(self) -> None:
        self.pia_stage("condition", "motion", pia.CONDITION | {"steps": self.recipe.condition_steps})

    def style(self, name: str) -> None:
        model = self.trained_base()
        lora.train(model, Run(self.folder / name), name, self.recipe.style_steps)
        lora.save(model.unet, self.folder / name / "lora.safetensors", {"ss_network_module": "networks.lora"})

    def styles(self) -> None:
        for name in lora.PERSONALISED[self.processes.rank :: self.processes.count]:
            self.style(name)

    def export(self) -> None:
        """Write what is trained so far into the models' folder, fp16."""
        self.models.mkdir(parents=True, exist_ok=True)
        self.trained_base().save(self.models / "miniature.safetensors")
        self.pool().scale().save(self.models / "miniature_affinity.json")
        trained = load_pia_model(self.folder / "condition" / "pia.safetensors", dtype=torch.float32)
        save_pia_model(trained, self.models / "miniature_pia.safetensors", half=True)
        for name in lora.PERSONALISED:
            if (path := self.folder / name / "lora.safetensors").exists():
                shutil.copyfile(path, self.models / f"miniature_{name}.safetensors")


def main(arguments: list[str] | None = None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m demo.miniature", description=__doc__, formatter_class=raw)
    stages = ("all", *ALL, *lora.PERSONALISED, *pia.COMPARED)
    parser.add_argument("stage", nargs="+", choices=stages, metavar="STAGE", help="all, or stages")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for checkpoints, logs and pools (about 300 MB)"
    )
    parser.add_argument("--models", type=Path, default=MODELS, help="where `export` writes")
    parser.add_argument(
        "--recipe", type=json.loads, default={}, help='other steps or sizes, as JSON: {"base_steps": 500}'
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the layers are small: more threads wait for each other
    with join_processes("cpu") as processes:
        work = Work(options.work, Recipe(**options.recipe), options.models, processes)
        for stage in ALL if "all" in options.stage else options.stage:
            work.run(stage)
    return 0


if __name__ == "__main__":
    sys.exit(main())
