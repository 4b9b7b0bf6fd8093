"""One line in the host's progress bar."""

from __future__ import annotations

from modules.shared import state


def progress(text: str | None) -> None:
    """Shows `text`; None takes our line away."""
    state.textinfo = f"PIA: {text}" if text else None
