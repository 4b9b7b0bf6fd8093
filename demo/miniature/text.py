"""The text encoder: trained before the base to say what a caption says, from every place after its end.

A text encoder as it was drawn hardly tells two captions apart that differ in one word (about 20 % of the encoding after
that word), and most of the 77 places come after it. CLIP learns from pictures; here the captions are known to be true,
so the encoder learns from the facts they state: a linear map of each place reads them.
"""

import numpy as np
import torch
from torch import nn

from .net import Miniature
from .scenes import DIRECTIONS, STILL, describe, motion_words, random_clip_plan, shape_word
from .shapes import BACKGROUNDS, COLOURS, SHAPES
from .tokenizer import END
from .training_log import Run, trapezoid

EMPTY, MOTION_ONLY = 0.1, 0.25  # share of captions that say nothing, or the motion alone
MOTIONS = (*DIRECTIONS, STILL)
FACTS = [
    *COLOURS, *SHAPES, *BACKGROUNDS, *MOTIONS,
    *(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS),
    *(f"{shape} {motion}" for shape in SHAPES for motion in MOTIONS),
]  # fmt: skip


def random_caption(rng: np.random.Generator) -> tuple[str, set[str]]:
    """A caption as the clips have them, and the facts of FACTS that it states."""
    scene, motions, _ = random_clip_plan(rng, two=0.25)
    kind = rng.random()
    if kind < EMPTY:
        return "", set()
    if kind < EMPTY + MOTION_ONLY and len(motions) == 1:
        return motion_words(motions[0]), {motions[0]}
    facts = {scene.background, *motions}
    for figure, motion in zip(scene.figures, motions):
        shape = shape_word(figure)
        facts |= {figure.colour, shape, f"{figure.colour} {shape}", f"{shape} {motion}"}
    return describe(scene, motions), facts


def facts_loss(model: Miniature, reader: nn.Linear, captions: list[str], facts: list[set[str]]) -> torch.Tensor:
    """Cross entropy of every fact, read from the end token and each place after it."""
    tokens = model.tokenizer(captions)
    read = reader(model.text(tokens).last_hidden_state)
    true = torch.tensor([[float(fact in stated) for fact in FACTS] for stated in facts])
    loss = nn.functional.binary_cross_entropy_with_logits(read, true[:, None].expand_as(read), reduction="none")
    return loss.sum(-1)[tokens == END].mean()


def train(model: Miniature, run: Run, steps: int, batch: int = 64, rate: float = 1e-3) -> None:
    """Train the text encoder alone, from how it was drawn."""
    rng = np.random.default_rng(11)
    reader = nn.Linear(model.text.config.hidden_size, len(FACTS))
    trained = [*model.text.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(trained, rate, betas=(0.9, 0.99), weight_decay=0.0, foreach=True)
    for step in run.steps(steps, text=model.text, reader=reader, optimizer=optimizer):
        for group in optimizer.param_groups:
            group["lr"] = rate * trapezoid(step, steps, warmup=50)
        loss = facts_loss(model, reader, *zip(*(random_caption(rng) for _ in range(batch))))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        run.log(step, loss=loss.item())
