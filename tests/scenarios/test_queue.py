"""Requests while others run, interrupts over HTTP, and switches of checkpoint and VAE between and in requests."""

from __future__ import annotations

import threading
import time

from .clips import animate, distance, latents, model, still

LONG_RUN = 400  # steps: enough to look at a clip while it is made, on a fast machine too


class Asked(threading.Thread):
    """A request under way."""

    def __init__(self, ask) -> None:
        super().__init__(daemon=True)
        self.ask, self.answer = ask, None
        self.start()

    def run(self) -> None:
        self.answer = self.ask()

    def result(self):
        self.join(600)
        assert self.answer is not None, "the request was not answered"
        return self.answer


def progress(host):
    return host.get("/sdapi/v1/progress?skip_current_image=true")


def wait_for(host, condition):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        now = progress(host)
        if condition(now):
            return now
        time.sleep(0.02)
    raise AssertionError(f"not seen in 120 s; last {now}")


def test_interrupt_by_the_api(host, unharmed):
    clip = Asked(lambda: animate(host, steps=LONG_RUN))
    wait_for(
        host,
        lambda now: now["textinfo"] and "sampling clip 1/1" in now["textinfo"] and now["state"]["sampling_step"] > 1,
    )
    host.post("/sdapi/v1/interrupt", {})
    began = time.monotonic()
    assert len(clip.result()["images"]) == 4
    assert time.monotonic() - began < 60


def test_progress_says_what_is_happening(host):
    clip = Asked(lambda: animate(host, {"num_frames": 2}, n_iter=2, steps=30))
    for text in ("PIA: sampling clip 1/2", "PIA: sampling clip 2/2"):
        wait_for(host, lambda now, text=text: now["textinfo"] == text)
    assert len(clip.result()["images"]) == 4
    assert not progress(host)["textinfo"]


def test_requests_at_once_are_as_one_after_the_other(host, unharmed):
    def asks():
        return [lambda: animate(host, seed=1)["images"], lambda: animate(host, seed=2)["images"], lambda: still(host)]

    alone = [ask() for ask in asks()]
    assert [one.result() for one in [Asked(ask) for ask in asks()]] == alone


def test_the_checkpoint_of_the_request_is_animated(host, models, unharmed):
    other = models.other()
    first = animate(host)["images"]
    by_request = animate(host, **model(other))
    assert by_request["images"] != first and f"Model: {other}" in by_request["info"]["infotexts"][0]
    assert animate(host)["images"] == first
    with host.options(sd_model_checkpoint=other):
        assert animate(host)["images"] == by_request["images"]


def test_the_vae_of_the_request_encodes_and_decodes(host, models, unharmed):
    override = {"override_settings": {"sd_vae": models.vae()}}
    first = animate(host)["images"]
    assert animate(host, **override)["images"] != first and animate(host)["images"] == first
    assert distance(latents(host, **override), latents(host)) > 1e-3
