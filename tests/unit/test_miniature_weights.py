"""The committed miniature works: pictures from text, clips from a picture, personalised models, and all of it small."""

import numpy as np
import pytest
import torch
from safetensors import safe_open

from demo.miniature import through
from demo.miniature.net import MODELS, Miniature
from demo.miniature.sample import Sampling, clips_of, encode_picture, pictures_of
from demo.miniature.scenes import DIRECTIONS, FRAMES, to_bytes
from demo.miniature.shapes import Figure, Scene, paint_background, render
from lib_pia.affinity import affinity_scores
from lib_pia.checkpoint import load_pia_model
from tests.bench import miniature_score as score
from tests.bench.miniature_cases import BASE, available, load_model

SCENE = Scene("navy", (Figure("square", "orange", 32.0, 32.0, 12.0),))


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> Miniature:
    return Miniature.load()


def test_the_weights_are_under_25_mb_and_half_precision():
    files = list(MODELS.glob("*.safetensors"))
    assert sum(path.stat().st_size for path in files) < 25e6
    for path in files:
        with safe_open(path, "pt") as file:
            assert {file.get_slice(name).get_dtype() for name in file.keys()} <= {"F16", "F32"}  # noqa: SIM118
            convs = [name for name in file.keys() if name.endswith("conv_in.weight")]  # noqa: SIM118
            assert {file.get_slice(name).get_dtype() for name in convs} <= {"F16"}


def test_at_least_four_personalised_models_are_there():
    assert len(available()) >= 5 and available()[0] == BASE


def test_the_vae_shows_what_it_was_given(model):
    picture = torch.from_numpy(to_bytes(render(SCENE)))
    from demo.miniature.sample import decode

    again = decode(model, encode_picture(model, picture))[0]
    assert score.psnr(again.numpy(), picture.numpy()) > 26


def test_pictures_have_the_ground_and_colour_that_the_prompt_names(model):
    prompts = [
        "a red circle on a teal background",
        "a yellow square on a plum background",
        "a blue star on a brown background",
    ]
    for prompt, picture in zip(prompts, pictures_of(model, prompts, Sampling(12, 3.0)).numpy()):
        colour, ground = prompt.split()[1], prompt.split()[-2]
        scene = Scene(ground, (Figure("circle", colour, 32.0, 32.0, 12.0),))
        assert score.nearest_ground(picture / 255, scene) == ground
        assert (
            score.nearest_name(
                score.look(picture / 255, paint_background(scene)).colour, score.colour_references(scene)
            )
            == colour
        )


def test_a_clip_starts_from_its_picture_and_keeps_its_colours(model):
    picture = torch.from_numpy(to_bytes(render(SCENE)))
    pia = load_pia_model(MODELS / "miniature_pia.safetensors", dtype=torch.float32)
    latents, affinity = encode_picture(model, picture), affinity_scores(FRAMES, 0, "animate", "large")[None]
    prompt = ["an orange square on a navy background, moving left"]
    with_pia = clips_of(model, pia, latents, prompt, affinity, Sampling(12, 2.5)).numpy()[0]
    without = clips_of(model, None, latents, prompt, affinity, Sampling(12, 2.5)).numpy()[0]
    found = score.alignment(with_pia, SCENE)
    assert found["all"] >= 0.8
    assert score.psnr(with_pia[0], picture.numpy()) > score.psnr(without[0], picture.numpy()) + 2
    assert score.coherence(with_pia, SCENE)["jerk"] < 0.5 * score.coherence(without, SCENE)["jerk"]


def test_the_prompt_says_where_it_goes(model):
    picture = torch.from_numpy(to_bytes(render(SCENE)))
    pia = load_pia_model(MODELS / "miniature_pia.safetensors", dtype=torch.float32)
    latents = encode_picture(model, picture).expand(4, -1, -1, -1)
    affinity = affinity_scores(FRAMES, 0, "animate", "large").expand(4, -1)
    prompts = [f"an orange square on a navy background, moving {word}" for word in DIRECTIONS]
    clips = clips_of(model, pia, latents, prompts, affinity, Sampling(10, 1.0), seeds=[5] * 4).numpy()
    assert [score.direction(score.track(clip, SCENE)) for clip in clips] == list(DIRECTIONS)


def test_the_way_of_x_t_is_open_in_every_file(model):
    for name in available():
        unet = load_model(name).unet
        for key, (mask, value) in through.fixed_of_unet(unet).items():
            assert torch.allclose(unet.get_parameter(key)[mask], value[mask], rtol=1e-3, atol=0), (name, key)
    pia = load_pia_model(MODELS / "miniature_pia.safetensors", dtype=torch.float32)
    for key, (mask, _) in through.fixed_of_pia(pia).items():
        assert not pia.get_parameter(key)[mask].any(), key


@pytest.mark.parametrize("name", [n for n in available() if n != BASE])
def test_a_personalised_model_draws_otherwise_than_the_base(name, model):
    word = "zwx" if name == "cross" else "circle"
    prompt = [f"a red {word} on a teal background"] * 2
    ours, base = (pictures_of(m, prompt, Sampling(8, 2.5)).float().numpy() for m in (load_model(name), model))
    assert np.abs(ours - base).mean() > 1.0
