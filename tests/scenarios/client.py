"""A host over HTTP: a WebUI or minihost, nothing of it imported."""

from __future__ import annotations

import base64
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

PATIENCE = 600  # seconds for one answer: a busy machine, a slow sampler


class AnswerError(Exception):
    """The host answered with an error: `status`, and the JSON `body` (or a text)."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"HTTP {status}: {body}")
        self.status, self.body = status, body

    @property
    def sentence(self) -> str:
        return self.body["detail"] or self.body.get("errors", "") if isinstance(self.body, dict) else str(self.body)


class Host:
    """One running host with the extension, the probe and the miniature."""

    def __init__(self, url: str, login: str = "") -> None:
        self.url = url.rstrip("/")
        self.headers = {"Content-Type": "application/json"}
        if login:
            self.headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Status and bytes of GET `path`, or of POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={**self.headers, **(headers or {})})
        try:
            with self.opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def _json(self, path: str, body: Any = None) -> Any:
        status, data = self.ask(path, body)
        try:
            values = json.loads(data)
        except ValueError:
            values = data.decode(errors="replace")
        if status != 200:
            raise AnswerError(status, values)
        return values

    def get(self, path: str) -> Any:
        return self._json(path)

    def post(self, path: str, body: Any = None, **values: Any) -> Any:
        return self._json(path, values if body is None else body)

    def generate(self, tab: str, request: dict[str, Any]) -> dict[str, Any]:
        """POST /sdapi/v1/`tab`; `info` is parsed. Raises AnswerError."""
        answer = self.post(f"/sdapi/v1/{tab}", request)
        return {**answer, "info": json.loads(answer["info"])}

    def probed(self) -> dict[str, Any]:
        """What the probe saw of the last request that it was switched on in."""
        return self.get("/pia-probe/record")

    @contextlib.contextmanager
    def options(self, **values: Any) -> Iterator[None]:
        """Settings for the time of a `with`."""
        every = self.get("/sdapi/v1/options")
        before = {name: every[name] for name in values}
        self.post("/sdapi/v1/options", values)
        try:
            yield
        finally:
            self.post("/sdapi/v1/options", before)
