"""Scenario 12: interrupt over HTTP, two requests at once, switches of checkpoint and VAE between and in requests."""
from __future__ import annotations

import threading

from tests.host.clips import Watcher, animate, distance, still


def test_interrupt_by_the_api(host):
    unet, calls = host.shared.sd_model.model.diffusion_model, []

    def interrupt_at_second(module, args):
        calls.append(module)
        if len(calls) == 2:
            host.post("/sdapi/v1/interrupt")

    with unet.register_forward_pre_hook(interrupt_at_second):
        answer = animate(host, steps=8)
    assert len(answer["images"]) == 4 and len(calls) == 2
    assert animate(host, steps=2)["images"] == animate(host, steps=2)["images"]


def test_two_requests_at_once_are_as_one_after_the_other(host):
    alone = animate(host, seed=1)["images"], animate(host, seed=2)["images"], still(host)
    results = {}
    threads = [threading.Thread(target=lambda seed=seed: results.update({seed: animate(host, seed=seed)["images"]})) for seed in (1, 2)]
    threads.append(threading.Thread(target=lambda: results.update({"still": still(host)})))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (results[1], results[2], results["still"]) == alone


def test_the_checkpoint_of_the_request_is_animated(host, models):
    other = models.other()
    first, picture_ = animate(host)["images"], still(host)
    by_request = animate(host, override_settings={"sd_model_checkpoint": other})
    assert by_request["images"] != first and "Model: other" in by_request["info"]["infotexts"][0]
    assert (animate(host)["images"], still(host)) == (first, picture_)
    host.post("/sdapi/v1/options", sd_model_checkpoint=other)
    assert animate(host)["images"] == by_request["images"]
    host.post("/sdapi/v1/options", sd_model_checkpoint=models.default())
    assert (animate(host)["images"], still(host)) == (first, picture_)


def test_the_vae_of_the_request_encodes_and_decodes(host, models):
    name = models.vae()
    watcher = Watcher(host)
    with host.script(watcher):
        first = animate(host)["images"]
        other = animate(host, override_settings={"sd_vae": name})["images"]
        again = animate(host)["images"]
    assert other != first and again == first
    assert distance(watcher.latents[1], watcher.latents[0]) > 1e-3


def test_progress_says_what_is_happening(host):
    seen = []

    def look(module, args):
        seen.append(host.get("/sdapi/v1/progress")["textinfo"])

    with host.shared.sd_model.model.diffusion_model.register_forward_pre_hook(look):
        animate(host, n_iter=2, steps=1)
    assert seen == ["PIA: sampling clip 1/2", "PIA: sampling clip 2/2"]
    assert host.shared.state.textinfo is None
