"""One running WebUI over HTTP (`/sdapi/v1`, WebUI started with --api)."""

from __future__ import annotations

import dataclasses
from pathlib import PurePath, PureWindowsPath
from typing import Any
from urllib.parse import urlsplit

import requests

from .errors import EvaluationError

CONNECT_S = 10  # for a server to take the connection
ANSWER_S = 60  # for lists and settings
GONE = (502, 503, 504)  # what a proxy in front of a dead WebUI answers


class ServerGone(Exception):
    """The server did not answer; what it was asked for can be asked of another one."""


class Refused(Exception):
    """The server answered with a refusal; the text says why."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A row of /sdapi/v1/sd-models."""

    title: str
    model_name: str
    filename: str

    @property
    def stem(self) -> str:
        """What `sd_model_name` in an answer's info is called."""
        path = PureWindowsPath(self.filename) if "\\" in self.filename else PurePath(self.filename)
        return path.stem


class Server:
    """A WebUI. `timeout`: seconds that one clip may take."""

    def __init__(self, url: str, timeout: float = 3600) -> None:
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self.timeout = timeout
        parts = urlsplit(self.url)
        self.name = parts._replace(
            netloc=parts.netloc.rpartition("@")[2]
        ).geturl()  # without a password, for notes and records

    def get(self, path: str) -> Any:
        return self._answer("GET", path, None, ANSWER_S)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._answer("POST", path, body, self.timeout)

    def _answer(self, verb: str, path: str, body: dict[str, Any] | None, timeout: float) -> Any:
        try:
            response = requests.request(verb, self.url + path, json=body, timeout=(CONNECT_S, timeout))
        except requests.exceptions.InvalidURL as error:
            raise EvaluationError(
                f"{self.name} is no address ({error}); give one like http://127.0.0.1:7860."
            ) from None
        except requests.exceptions.RequestException as error:
            raise ServerGone(type(error).__name__) from None
        if response.status_code in GONE:
            raise ServerGone(f"HTTP {response.status_code}")
        if response.status_code != 200:
            raise Refused(_reason(response))
        try:
            return response.json()
        except ValueError:
            raise Refused("its answer is not JSON; is it a WebUI started with --api?") from None

    def is_alive(self) -> bool:
        try:
            self.get("/sdapi/v1/sd-models")
        except (ServerGone, Refused):
            return False
        return True

    def scripts(self, endpoint: str) -> set[str]:
        """Titles of the scripts that the tab has, in lower case."""
        return {str(title).lower() for title in self.get("/sdapi/v1/scripts").get(endpoint) or ()}

    def checkpoints(self) -> list[Checkpoint]:
        rows = self.get("/sdapi/v1/sd-models")
        return [Checkpoint(row["title"], row.get("model_name", ""), row.get("filename", "")) for row in rows]


def _reason(response: requests.Response) -> str:
    """The sentence in an error answer."""
    if response.status_code in (401, 403):
        return "it wants a user and a password; give them in the address: http://user:password@127.0.0.1:7860"
    if response.status_code == 404 and not response.content.startswith(b'{"error'):
        return "it has no /sdapi; start the WebUI with --api"
    try:
        body = response.json()
    except ValueError:
        return f"HTTP {response.status_code}"
    found = [body.get(key) for key in ("detail", "errors", "error")] if isinstance(body, dict) else [body]
    text = next((str(part) for part in found if part), "")
    return f"{text or 'no reason given'} (HTTP {response.status_code})"


def find_checkpoint(wanted: str, known: list[Checkpoint]) -> Checkpoint | None:
    """The checkpoint with that title, model name or file name, or the only one whose title holds the text."""
    text = wanted.strip().lower()
    if not text:
        return None
    for checkpoint in known:
        names = (checkpoint.title, checkpoint.model_name, checkpoint.stem, PurePath(checkpoint.filename).name)
        if text in map(str.lower, names):
            return checkpoint
    found = [checkpoint for checkpoint in known if text in checkpoint.title.lower()]
    return found[0] if len(found) == 1 else None
