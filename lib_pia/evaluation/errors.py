"""The error of this package: one sentence for who runs an evaluation."""

from __future__ import annotations

from lib_pia.errors import PIAError


class EvaluationError(PIAError):
    """A data set, run, study or table that cannot be used."""

    http_status = 422
