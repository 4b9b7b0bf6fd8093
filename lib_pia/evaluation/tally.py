"""Counts the answers of a study: how often each method was preferred, per question, with Wilson intervals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import EvaluationError
from .intervals import wilson

QUESTIONS = {"text": "matches the text best", "image": "most like the picture"}
PAPER_NOTE = "The paper's study (arXiv 2312.13964, section 5) prints for PIA: text 0.670, image 0.525."


def tally(key_file: Path, files: list[Path], say: Callable[[str], None]) -> str:
    """The table. Files that are no answers of this study are said and left out; EvaluationError where none is left."""
    key = _read(key_file)
    if not isinstance(key.get("questions"), list) or not isinstance(key.get("methods"), list):
        raise EvaluationError(
            f"{key_file} is not the key of a study; give the .key.json that `study` wrote with --key."
        )
    counts = {question: [0] * len(key["methods"]) for question in QUESTIONS}
    participants: set[str] = set()
    for file in files:
        try:
            _count(key, file, counts, participants)
        except EvaluationError as error:
            say(f"{error} It is left out.")
    if not participants:
        raise EvaluationError(f"None of the {len(files)} files holds answers of the study {key['study']}.")
    return _table(key["methods"], counts, len(participants))


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"{file} cannot be read ({getattr(error, 'strerror', None) or 'it is not JSON'})."
        ) from None
    if not isinstance(values, dict):
        raise EvaluationError(f"{file} holds no answers.")
    return values


def _count(key: dict[str, Any], file: Path, counts: dict[str, list[int]], participants: set[str]) -> None:
    """Adds one participant's answers, all or none."""
    given = _read(file)
    if given.get("study") != key["study"]:
        raise EvaluationError(f"{file} holds answers of the study {given.get('study')!r}, not of {key['study']!r}.")
    participant = str(given.get("participant"))
    if participant in participants:
        raise EvaluationError(f"{file} is of participant {participant}, whose answers were counted already.")
    answers = given.get("answers")
    if not isinstance(answers, list) or len(answers) != len(key["questions"]):
        raise EvaluationError(f"{file} does not have {len(key['questions'])} answers.")
    chosen = [
        (question, _method(key, file, number, answer, question))
        for number, answer in enumerate(answers)
        for question in QUESTIONS
    ]
    participants.add(participant)
    for question, method in chosen:
        counts[question][method] += 1


def _method(key: dict[str, Any], file: Path, number: int, answer: Any, question: str) -> int:
    order = key["questions"][number]["order"]
    place = answer.get(question) if isinstance(answer, dict) else None
    if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(order):
        raise EvaluationError(
            f"{file} answers question {number + 1} with {place!r}; it must be a number from 0 to {len(order) - 1}."
        )
    return order[place]


def _table(methods: list[str], counts: dict[str, list[int]], participants: int) -> str:
    rows = [["preferred", *QUESTIONS.values()]]
    for number, name in enumerate(methods):
        shares = [wilson(counts[question][number], sum(counts[question])).shown(3) for question in QUESTIONS]
        rows.append([name, *shares])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
    answers = sum(counts["text"])
    return (
        f"{table}\n{participants} participants, {answers} answers per question; 95 % intervals by Wilson.\n{PAPER_NOTE}"
    )
