"""Attributes lent to an object of the host for a time, and given back exactly: the one way in which we change it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MISSING = object()


def _own(target: Any, name: str) -> Any:
    """The object's own attribute, a torch module's buffers included; what its class has is not its own."""
    own = vars(target)
    return own.get(name, own.get("_buffers", {}).get(name, _MISSING))


class Lent:
    """Instance attributes set on one object; `give_back` restores those that were there and removes those that were
    not."""

    def __init__(self, target: Any) -> None:
        self.target = target
        self._before: dict[str, Any] = {}

    def lend(self, **values: Any) -> Lent:
        for name, value in values.items():
            self._before.setdefault(name, _own(self.target, name))
            setattr(self.target, name, value)
        return self

    def give_back(self, *names: str, target: Any = None) -> None:
        """Restores `names` (all if none is given). With `target`, restores a copy of the object instead, and remembers
        the loan."""
        receiver = self.target if target is None else target
        for name in names or tuple(self._before):
            if name not in self._before:
                continue
            before = self._before[name] if target is not None else self._before.pop(name)
            if before is not _MISSING:
                setattr(receiver, name, before)
            else:
                vars(receiver).pop(name, None)

    def before(self, name: str) -> Any:
        """What `name` was before it was lent, or what it is if it was not."""
        before = self._before.get(name, _MISSING)
        if before is not _MISSING:
            return before
        return getattr(type(self.target), name) if name in self._before else getattr(self.target, name)


@contextmanager
def lent(target: Any, **values: Any) -> Iterator[None]:
    """Sets attributes of `target` for the time of the block."""
    loan = Lent(target)
    try:
        loan.lend(**values)
        yield
    finally:
        loan.give_back()
