"""`motion_loras`: where their files are, and what a tag of one in the prompt is told."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lib_pia.checkpoint import is_motion_lora, read_motion_lora
from lib_pia.errors import CheckpointError, SettingsError
from lib_pia.host import models
from lib_pia.settings import PIASettings

TAG = re.compile(r"<lora:([^:<>]+)(?::([^:<>]*))?[^<>]*>")  # as the host's Lora extension writes it


def find_motion_loras(settings: PIASettings) -> tuple[tuple[str, float], ...]:
    """Path and weight of each. Raises CheckpointError for a file that is not there, or no motion LoRA."""
    found = tuple((models.find_motion_lora(lora.name), lora.weight) for lora in settings.motion_loras)
    for path, _ in found:
        read_motion_lora(path)
    return found


def check_tags(prompts: Iterable[str]) -> None:
    """Refuses `<lora:name:1>` of a motion LoRA, which the host's Lora extension can do nothing with. Raises
    SettingsError."""
    for name, weight in dict.fromkeys(tag for prompt in set(prompts) for tag in TAG.findall(prompt)):
        try:
            path = models.find_motion_lora(name)
        except CheckpointError:
            continue
        if is_motion_lora(path):
            raise SettingsError(
                f"{name} is a motion LoRA, which changes PIA and not the checkpoint; leave <lora:{name}> out of the "
                f"prompt, and set Motion LoRA (motion_loras) to <{name}:{weight or 1}>."
            )
