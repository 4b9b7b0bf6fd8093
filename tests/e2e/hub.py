"""A local server that plays Hugging Face: whole, by ranges, cut off, slow, refusing."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """`content` is what /pia.ckpt holds; `cut` bytes of an answer are sent before the connection ends; `status` other
    than 200 refuses; while `gate` is not set, answers wait in their middle. `ranges` collects the Range headers."""

    def __init__(self) -> None:
        self.reset()
        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_port}/"

    def reset(self) -> None:
        self.content, self.cut, self.status, self.tag, self.ranges = b"", None, 200, '"one"', []
        self.gate = threading.Event()
        self.gate.set()

    def __enter__(self) -> Hub:
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.gate.set()
        self.httpd.shutdown()
        self.httpd.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.ranges.append(self.headers.get("Range"))
            if hub.status != 200:
                return self.send_error(hub.status)
            start = self._start()
            if start >= len(hub.content) > 0:
                return self.send_error(416)
            data = hub.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(hub.content) - 1}/{len(hub.content)}")
            self.send_header("Content-Length", str(len(data)))
            if hub.tag:
                self.send_header("ETag", hub.tag)
            self.end_headers()
            end = len(data) if hub.cut is None else hub.cut
            self.wfile.write(data[: end // 2])
            hub.gate.wait(120)
            self.wfile.write(data[end // 2 : end])

        def _start(self) -> int:
            asked = self.headers.get("Range")
            fits = not self.headers.get("If-Range") or self.headers["If-Range"] == hub.tag
            return int(asked.removeprefix("bytes=").rstrip("-")) if asked and fits else 0

        def log_message(self, *_) -> None:
            pass

    return Handler
