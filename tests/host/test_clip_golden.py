"""Scenario 2: with noise and texts of the parity run, the host's samplers give the latents of the paper's network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.host.clips import Watcher, animate, distance

GOLDENS = Path(__file__).with_name("goldens")
TOLERANCE = 5e-5  # fp32 final latents, relative L2


@pytest.fixture(scope="module")
def goldens():
    return load_file(GOLDENS / "a1111_64x64.safetensors")


class GoldenNoise:
    """`p.rng` of the parity run: unit Gaussian frames, first call only."""

    def __init__(self, noise):
        self.noise = noise.permute(1, 0, 2, 3).contiguous()  # [4, F, h, w] -> [F, 4, h, w]
        self.shape = self.noise.shape[1:]

    def next(self):
        return self.noise.clone()


def golden_inputs(goldens):
    """Puts the golden noise and text embeddings where the host's own stand."""
    from modules import prompt_parser

    negative, positive = goldens["text"]

    def schedule(cond):
        return [prompt_parser.ScheduledPromptConditioning(10**9, cond)]

    def process_batch(p):
        frames = len(p.prompts)
        p.rng = GoldenNoise(goldens["noise"])

        def setup_conds():
            part = prompt_parser.ComposableScheduledPromptConditioning(schedule(positive), 1.0)
            p.c = prompt_parser.MulticondLearnedConditioning((frames,), [[part]] * frames)
            p.uc = [schedule(negative)] * frames

        p.setup_conds = setup_conds

    return process_batch


@pytest.mark.parametrize(
    "sampler, golden, motion",
    [("Euler", "euler25_m1", ("animate", "moderate")), ("DDIM", "ddim25_m3", ("loop", "small"))],
)
def test_latents_are_the_papers(host, goldens, sampler, golden, motion):
    watcher = Watcher(host)
    watcher.hooks["process_batch"] = golden_inputs(goldens)
    with host.script(watcher):
        animate(
            host,
            {"num_frames": 16, "motion": motion[0], "magnitude": motion[1]},
            Image.open(GOLDENS / "cond_64x64.png"),
            steps=25,
            cfg_scale=7.5,
            sampler_name=sampler,
        )
    assert distance(watcher.latents[0], goldens[golden].permute(1, 0, 2, 3)) < TOLERANCE


def test_goldens_tell_variants_apart(goldens):
    assert distance(goldens["euler25_m1"], goldens["ddim25_m3"]) > 1e-2
    assert torch.isfinite(goldens["euler25_m1"]).all()
