"""Prompts to conditioning: [from:to:when] (not nested), and AND with weights."""

import itertools
import re
from collections import namedtuple

import torch

ScheduledPromptConditioning = namedtuple("ScheduledPromptConditioning", "end_at_step cond")
# one part of a prompt between AND
ComposableScheduledPromptConditioning = namedtuple("ComposableScheduledPromptConditioning", "schedules weight")
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
EDIT = re.compile(r"\[(?:(?P<before>[^\[\]:|]*):)?(?P<after>[^\[\]:|]*):\s*(?P<when>\d*\.?\d+)\s*\]")
PART = re.compile(rf"(?P<text>.*?)(?:\s*:\s*(?P<weight>{NUMBER}))?\s*", re.DOTALL)


class MulticondLearnedConditioning:
    """The positive prompts of a batch: `batch` holds each picture's parts."""

    def __init__(self, shape, batch):
        self.shape, self.batch = shape, batch


def edits(prompt: str, steps: int) -> list[tuple[int, str]]:
    """[(last step, text until then), ...]; times below 1 are shares of the steps."""

    def when(match):
        number = float(match["when"])
        return min(int(number * steps if "." in match["when"] else number), steps)

    def until(end):
        return EDIT.sub(lambda found: (found["before"] or "") if end <= when(found) else found["after"], prompt)

    ends = sorted({steps} | {end for end in map(when, EDIT.finditer(prompt)) if end > 0})
    return [(end, until(end)) for end in ends]


def get_learned_conditioning(model, prompts, steps, hires_steps=None, use_old_scheduling=False):
    """For each prompt [ScheduledPromptConditioning, ...]; equal prompts are encoded once."""
    encoded = {}
    for prompt in dict.fromkeys(prompts):
        timed = edits(prompt, hires_steps or steps)
        conds = model.get_learned_conditioning([text for _, text in timed])
        encoded[prompt] = [ScheduledPromptConditioning(end, cond) for (end, _), cond in zip(timed, conds)]
    return [encoded[prompt] for prompt in prompts]


def parts_of(prompt: str) -> list[tuple[str, float]]:
    """The parts between AND, and their weights."""
    found = (PART.fullmatch(part) for part in re.split(r"\bAND\b", prompt))
    return [(part["text"], float(part["weight"] or 1)) for part in found]


def get_multicond_learned_conditioning(model, prompts, steps, hires_steps=None, use_old_scheduling=False):
    """MulticondLearnedConditioning; equal parts are encoded once."""
    parts = [parts_of(prompt) for prompt in prompts]
    texts = list(dict.fromkeys(text for of_prompt in parts for text, _ in of_prompt))
    known = dict(zip(texts, get_learned_conditioning(model, texts, steps, hires_steps)))
    batch = [[ComposableScheduledPromptConditioning(known[text], weight) for text, weight in one] for one in parts]
    return MulticondLearnedConditioning((len(prompts),), batch)


def _at(schedules, step):
    return next((entry.cond for entry in schedules if entry.end_at_step >= step), schedules[0].cond)


def reconstruct_cond_batch(c, current_step):
    """The negative prompts at this step, [pictures, tokens, width]."""
    return torch.stack([_at(schedules, current_step) for schedules in c])


def reconstruct_multicond_batch(c, current_step):
    """([[(row, weight), ...] per picture], all rows [rows, tokens, width]); shorter rows repeat their last vector."""
    numbers = itertools.count()
    compositions = [[(next(numbers), part.weight) for part in of_picture] for of_picture in c.batch]
    rows = [_at(part.schedules, current_step) for of_picture in c.batch for part in of_picture]
    longest = max(map(len, rows))
    return compositions, torch.stack([torch.cat([row, *[row[-1:]] * (longest - len(row))]) for row in rows])
