"""The errors that reach a user. Each is one sentence: what, got, wanted, what to do."""

from __future__ import annotations


class PIAError(Exception):
    """Base class. `status_code` and `detail` are instance attributes: the WebUI's API reads them with `vars(error)`."""

    http_status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.status_code = self.http_status
        self.detail = message


class SettingsError(PIAError):
    """A request setting is unknown, of the wrong type or out of range."""

    http_status = 422


class CheckpointError(PIAError):
    """A file is not a PIA model that can be used."""

    http_status = 422


class UnsupportedModelError(PIAError):
    """The selected checkpoint (or what drives it) is nothing that PIA can animate."""

    http_status = 422


class MediaError(PIAError):
    """A picture or clip given by the user cannot be read or used."""

    http_status = 422


class TrainingError(PIAError):
    """Training data or options that cannot be used."""

    http_status = 422


class HostError(PIAError):
    """The host, the machine or another extension made something impossible: a full disk, a foreign hook, a missing
    ffmpeg."""
