"""Gives the words of motion weight in the text encoder.

Pictures hardly show a motion, so the encoder that was trained on them says little about its word: "left" and "right" differ at that token
alone. Here it learns to add a direction of its own for each word to every token from the word on, and to leave everything else as it is.
"""

import copy

import torch

from .net import Miniature
from .scenes import DIRECTIONS, STILL
from .training_log import Run

WORDS = (*DIRECTIONS, STILL)
STRENGTH = 0.5  # length of what is added, relative to an encoding's


def marked(tokens: torch.Tensor, encodings: torch.Tensor, words: list[int]) -> torch.Tensor:
    """The encodings [N, 77, D] with each word's direction added from its token on; the mean of them where a text has several."""
    directions = torch.linalg.qr(torch.randn(encodings.shape[-1], encodings.shape[-1], generator=torch.Generator().manual_seed(4)))[0]
    length = STRENGTH * encodings.norm(dim=-1).mean()
    added, count = torch.zeros_like(encodings), torch.zeros(*tokens.shape, 1)
    for direction, word in zip(directions, words):
        from_here = (tokens == word).float().cumsum(1).clamp(max=1)[..., None]
        added += from_here * direction * length
        count += from_here
    return encodings + added / count.clamp(min=1)


def texts_of(captions: list[str]) -> list[str]:
    """The captions, their motions alone, some without motion, and the empty text."""
    alone = sorted({caption.split(", ", 1)[1] for caption in captions})
    return [*sorted(set(captions)), *alone * 3, *[""] * 30, *[caption.split(", ")[0] for caption in captions[:400]]]


def train(model: Miniature, run: Run, captions: list[str], steps: int, rate: float = 2e-3) -> None:
    """Train the text encoder on batches of 48 texts; the loss is the squared error relative to an encoding's length."""
    torch.manual_seed(4)
    tokens = model.tokenizer(texts_of(captions))
    before = copy.deepcopy(model.text)
    with torch.no_grad():
        encodings = torch.cat([before(part).last_hidden_state for part in tokens.split(256)])
    target = marked(tokens, encodings, [int(model.tokenizer([word])[0][1]) for word in WORDS])
    scale = encodings.norm(dim=-1).mean() ** 2
    model.text.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.text.parameters(), rate, betas=(0.9, 0.98), weight_decay=0)
    for step in run.steps(steps, text=model.text, optimizer=optimizer):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 30) * (1 - step / steps)
        rows = torch.randint(len(tokens), (48,))
        loss = (model.text(tokens[rows]).last_hidden_state - target[rows]).square().sum(-1).mean() / scale
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(step, loss=loss.item())
    model.text.requires_grad_(False)
