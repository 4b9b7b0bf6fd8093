"""minihost's samplers and its guidance: how often the model is called, at which times and with which rows. The UNet is replaced by a formula."""
from __future__ import annotations

import pytest
import torch

from demo.minihost import HostResponseError

SAMPLERS = ("DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 2S a", "DPM++ 3M SDE", "Euler a", "Euler", "LMS", "Heun", "DPM2",
            "DPM2 a", "DPM fast", "DPM adaptive", "Restart", "DDIM", "DDIM CFG++", "PLMS", "UniPC", "LCM")
SCHEDULERS = ("uniform", "karras", "exponential", "polyexponential", "sgm_uniform", "kl_optimal", "align_your_steps", "simple", "normal", "ddim",
              "beta")
BASE = {"prompt": "a red star", "negative_prompt": "blue", "steps": 4, "width": 64, "height": 64, "seed": 1, "sampler_name": "Euler",
        "batch_size": 2}
LONG = " ".join(["star"] * 100)                    # two chunks of 75 tokens


@pytest.fixture
def calls(host, monkeypatch):
    """Every call of the model as (rows, timestep, x, cond)."""
    seen = []

    def apply_model(x, t, cond, **kwargs):
        seen.append((len(x), t[0].item(), x.clone(), cond["c_crossattn"][0]))
        return 0.3 * torch.tanh(x)

    monkeypatch.setattr(host.shared.sd_model, "apply_model", apply_model)
    return seen


@pytest.fixture
def latents(host):
    """The samples of the last request."""
    class Looks(host.scripts.Script):
        last = None

        def title(self):
            return "looks"

        def post_sample(self, p, ps, *args):
            self.last = ps.samples

    with host.script(Looks()) as script:
        yield lambda: script.last


def test_all_samplers_are_listed(host):
    assert tuple(item["name"] for item in host.get("/sdapi/v1/samplers")) == SAMPLERS
    assert tuple(item["name"] for item in host.get("/sdapi/v1/schedulers")) == ("automatic", *SCHEDULERS)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_runs(host, calls, latents, name):
    host.txt2img(**{**BASE, "sampler_name": name})
    assert torch.isfinite(latents()).all() and latents().shape == (2, 4, 8, 8)
    assert latents().std() < 20                                # from pure noise at sigma 14.6 down


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_runs(host, calls, latents, name):
    host.txt2img(**BASE, scheduler=name)
    assert torch.isfinite(latents()).all()
    times = [t for _, t, _, _ in calls]
    assert len(times) == 4 and times == sorted(times, reverse=True)


def test_ddim_calls_the_model_once_less_and_never_at_one(host, calls):
    host.txt2img(**{**BASE, "sampler_name": "DDIM"})
    assert [t for _, t, _, _ in calls] == [751, 501, 251]


def test_euler_calls_the_model_once_per_step(host, calls):
    host.txt2img(**BASE)
    assert [t for _, t, _, _ in calls] == pytest.approx([999, 666, 333, 0])


def test_unipc_refuses_too_few_steps(host, calls):
    with pytest.raises(HostResponseError) as caught:
        host.txt2img(**{**BASE, "sampler_name": "UniPC", "steps": 2})
    assert caught.value.status == 500 and "UniPC" in caught.value.body["errors"]


def test_samplers_without_noise_agree_in_the_limit(host, calls, latents):
    """Euler, Heun, DDIM, PLMS and UniPC solve the same equation; their first noise levels differ by about one per cent."""
    ends = {}
    for name in ("Euler", "Heun", "DDIM", "PLMS", "UniPC"):
        host.txt2img(**{**BASE, "sampler_name": name, "steps": 200, "batch_size": 1})
        ends[name] = latents()
    for name, end in ends.items():
        assert (end - ends["Heun"]).norm() < 0.03 * ends["Heun"].norm(), name


@pytest.mark.parametrize("request_,options,rows", [
    ({}, {}, [4] * 4),
    ({"cfg_scale": 1}, {}, [4] * 4),
    ({"prompt": LONG}, {}, [2, 2] * 4),
    ({}, {"batch_cond_uncond": False}, [2, 2] * 4),
    ({"s_min_uncond": 20.0}, {}, [4, 2, 4, 2]),
    ({}, {"s_min_uncond_all": True, "s_min_uncond": 20.0}, [2] * 4),
    ({}, {"skip_early_cond": 0.3}, [2, 2, 4, 4]),
    ({"prompt": "a star AND a circle :0.5"}, {}, [6] * 4),
    ({"prompt": f"{LONG} AND a circle"}, {}, [4, 2] * 4),
    ({"prompt": LONG}, {"pad_cond_uncond": True}, [4] * 4),
])
def test_rows_of_the_model_call(host, calls, request_, options, rows):
    with host.options(**options):
        host.txt2img(**{**BASE, **request_})
    assert [n for n, *_ in calls] == rows


def test_parts_of_and_stand_next_to_each_other(host, calls):
    host.txt2img(**{**BASE, "prompt": "a star AND a circle :0.5"})
    _, _, x, cond = calls[0]
    assert torch.equal(x[0], x[1]) and torch.equal(x[2], x[3]) and not torch.equal(x[0], x[2])      # picture 0, 0, 1, 1
    assert torch.equal(x[[0, 2]], x[4:])                                                            # then uncond
    assert torch.equal(cond[0], cond[2]) and torch.equal(cond[1], cond[3]) and not torch.equal(cond[0], cond[1])


def test_weights_of_and_scale_the_guidance(host, monkeypatch, latents):
    """A model that looks only at cond: with weights w the result is uncond + scale * sum(w * (cond - uncond))."""
    def apply_model(x, t, cond, **kwargs):
        return torch.zeros_like(x) + cond["c_crossattn"][0][:, :, 0].mean(1)[:, None, None, None]

    monkeypatch.setattr(host.shared.sd_model, "apply_model", apply_model)
    ends = []
    for prompt in ("a star", "a star AND a circle :0", "a star :2"):
        host.txt2img(**{**BASE, "prompt": prompt})
        ends.append(latents())
    assert torch.allclose(ends[0], ends[1], atol=1e-4)
    assert not torch.allclose(ends[0], ends[2], atol=1e-2)


def test_img2img_starts_from_its_picture(host, calls):
    from PIL import Image

    host.img2img(**{**BASE, "init_images": [host.base64(Image.new("RGB", (64, 64), "red"))], "denoising_strength": 0.5, "steps": 8})
    assert len(calls) == 5                                     # int(0.5 * 8) + 1 steps
    assert calls[0][1] < 600


def test_the_models_schedule_is_reset_before_sampling(host, calls):
    model = host.shared.sd_model
    original = model.alphas_cumprod.clone()
    model.alphas_cumprod = original * 0.5
    host.txt2img(**BASE)
    assert torch.equal(model.alphas_cumprod, original)
