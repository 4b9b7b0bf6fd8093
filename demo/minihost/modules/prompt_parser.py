"""Prompts to conditioning: scheduled edits, AND with weights, (attention:1.2).

minihost parses `[from:to:when]` only where the brackets are not nested; anything deeper is left as text.
"""
from __future__ import annotations

import re
from collections import namedtuple

import torch

ScheduledPromptConditioning = namedtuple("ScheduledPromptConditioning", "end_at_step cond")
_EDIT = re.compile(r"\[([^\[\]:|]*):(?:([^\[\]:|]*):)?\s*(\d*\.?\d+)\s*\]")
_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r"(.*?)(?:\s*:\s*([-+]?(?:\d+\.?\d*|\.\d+)))?\s*", re.DOTALL)
_TOKEN = re.compile(r"\\.|:\s*([-+]?\.?\d[\d.]*)\s*\)|BREAK|[()\[\]]|[^\\()\[\]:B]+|[:B\\]")


def get_learned_conditioning_prompt_schedules(prompts, base_steps, hires_steps=None, use_old_scheduling=False):
    """For each prompt [[last step, text], ...]. A time below 1 is a fraction of the steps."""
    steps = base_steps if hires_steps is None else hires_steps
    of_second_pass = hires_steps is not None and not use_old_scheduling         # times from 1 on are those of the hires pass

    def schedule(prompt):
        def at(match):
            first, second, when = match.groups()
            before, after = ("", first) if second is None else (first, second)
            time = float(when)
            if "." in when:
                time = (time - of_second_pass) * steps
            elif of_second_pass:
                time -= base_steps
            return before, after, min(steps, int(time))

        ends = sorted({steps, *(end for _, _, end in map(at, _EDIT.finditer(prompt)) if end >= 1)})
        return [[end, _EDIT.sub(lambda match, end=end: at(match)[0] if end <= at(match)[2] else at(match)[1], prompt)] for end in ends]

    return [schedule(prompt) for prompt in prompts]


class SdConditioning(list):
    """Prompts, with what else a text encoder may want to know."""

    def __init__(self, prompts, is_negative_prompt=False, width=None, height=None, copy_from=None):
        super().__init__(prompts)
        source = prompts if copy_from is None else copy_from
        self.is_negative_prompt = is_negative_prompt or getattr(source, "is_negative_prompt", False)
        self.width = width or getattr(source, "width", None)
        self.height = height or getattr(source, "height", None)


def get_learned_conditioning(model, prompts: SdConditioning | list[str], steps, hires_steps=None, use_old_scheduling=False):
    """For each prompt its schedule of conditionings."""
    known = {}
    for prompt, schedule in zip(prompts, get_learned_conditioning_prompt_schedules(prompts, steps, hires_steps, use_old_scheduling)):
        if prompt not in known:
            conds = model.get_learned_conditioning(SdConditioning([text for _, text in schedule], copy_from=prompts))
            known[prompt] = [ScheduledPromptConditioning(end, cond) for (end, _), cond in zip(schedule, conds)]
    return [known[prompt] for prompt in prompts]


def get_multicond_prompt_list(prompts: SdConditioning | list[str]):
    """(for each prompt [(index, weight), ...], all different parts, part -> index)."""
    flat, index_of, result = SdConditioning([], copy_from=prompts), {}, []
    for prompt in prompts:
        parts = []
        for part in _AND.split(prompt):
            text, weight = _WEIGHT.fullmatch(part).groups()
            if text not in index_of:
                index_of[text] = len(flat)
                flat.append(text)
            parts.append((index_of[text], 1.0 if weight is None else float(weight)))
        result.append(parts)
    return result, flat, index_of


class ComposableScheduledPromptConditioning:
    def __init__(self, schedules, weight=1.0):
        self.schedules, self.weight = schedules, weight


class MulticondLearnedConditioning:
    def __init__(self, shape, batch):
        self.shape, self.batch = shape, batch


def get_multicond_learned_conditioning(model, prompts, steps, hires_steps=None, use_old_scheduling=False) -> MulticondLearnedConditioning:
    parts_of, flat, _ = get_multicond_prompt_list(prompts)
    learned = get_learned_conditioning(model, flat, steps, hires_steps, use_old_scheduling)
    batch = [[ComposableScheduledPromptConditioning(learned[index], weight) for index, weight in parts] for parts in parts_of]
    return MulticondLearnedConditioning(shape=(len(prompts),), batch=batch)


def _cond_at(schedules, step):
    return next((entry.cond for entry in schedules if step <= entry.end_at_step), schedules[0].cond)


def reconstruct_cond_batch(c: list[list[ScheduledPromptConditioning]], current_step):
    """[rows, tokens, width] of the negative prompts at this step; all must be of the first one's length."""
    first = c[0][0].cond
    out = torch.zeros((len(c), *first.shape), device=first.device, dtype=first.dtype)
    for row, schedules in enumerate(c):
        out[row] = _cond_at(schedules, current_step)
    return out


def stack_conds(tensors):
    """Stack; shorter ones are filled with their last vector."""
    longest = max(len(tensor) for tensor in tensors)
    return torch.stack([torch.cat([tensor, tensor[-1:].expand(longest - len(tensor), -1)]) for tensor in tensors])


def reconstruct_multicond_batch(c: MulticondLearnedConditioning, current_step):
    """(for each picture [(row, weight), ...], [all rows, tokens, width])."""
    rows, tensors = [], []
    for composition in c.batch:
        rows.append([(len(tensors) + i, part.weight) for i, part in enumerate(composition)])
        tensors += [_cond_at(part.schedules, current_step) for part in composition]
    return rows, stack_conds(tensors).to(c.batch[0][0].schedules[0].cond)


def parse_prompt_attention(text):
    """[[text, weight], ...]: (x) is 1.1, [x] is 1/1.1, (x:1.3) is 1.3; BREAK has weight -1."""
    out, round_open, square_open = [], [], []

    def scale(start, factor):
        for part in out[start:]:
            part[1] *= factor

    for match in _TOKEN.finditer(text):
        token, weight = match.group(0), match.group(1)
        if token[0] == "\\" and len(token) > 1:
            out.append([token[1:], 1.0])
        elif token == "(":
            round_open.append(len(out))
        elif token == "[":
            square_open.append(len(out))
        elif weight is not None and round_open:
            scale(round_open.pop(), float(weight))
        elif token == ")" and round_open:
            scale(round_open.pop(), 1.1)
        elif token == "]" and square_open:
            scale(square_open.pop(), 1 / 1.1)
        else:
            out.append([token, -1 if token == "BREAK" else 1.0])
    for start in round_open:
        scale(start, 1.1)
    for start in square_open:
        scale(start, 1 / 1.1)
    merged = []
    for part, weight in out or [["", 1.0]]:
        if merged and merged[-1][1] == weight:
            merged[-1][0] += part
        else:
            merged.append([part, weight])
    return merged
