"""What the network is shown and asked in training."""

import dataclasses

import pytest
import torch

from lib_pia.condition import build_condition
from lib_pia.errors import TrainingError
from lib_pia.schedule import linear_alphas_cumprod
from lib_pia.training import TrainConfig
from lib_pia.training.objective import check_batch, clip_conditions, eps_loss, make_example, training_draws
from tests.unit.training_toys import FRAMES, toy_clips

ALPHAS = linear_alphas_cumprod()
NEVER, ALWAYS = torch.tensor([False, False]), torch.tensor([True, True])


def example(config=None, count=2, first=0, **drops):
    config = config or TrainConfig(drop_condition=0.0, drop_text=0.0)
    batch = toy_clips(first, count)
    draws = training_draws(config, first, batch.latents.shape)
    return batch, draws, make_example(batch, dataclasses.replace(draws, **drops), ALPHAS, config)


def test_conditions_are_what_sampling_builds():
    batch = toy_clips(0, 2)
    rows = clip_conditions(batch, NEVER, "similarity").unflatten(0, (2, FRAMES))
    for clip in range(2):
        image = batch.latents[clip, batch.condition_frame[clip]][None]
        assert torch.equal(rows[clip], build_condition(image, batch.affinity[clip]))


def test_dropping_zeroes_affinity_and_latent_together_in_that_clip_only():
    rows = clip_conditions(toy_clips(0, 2), torch.tensor([True, False]), "similarity").unflatten(0, (2, FRAMES))
    assert not rows[0].any()
    assert rows[1].abs().sum(dim=(0, 2, 3)).min() > 0


@pytest.mark.parametrize("mode", ["onehot", "none"])
def test_the_ablations_change_the_affinity_and_keep_the_latent(mode):
    batch = toy_clips(0, 2)
    usual, other = (clip_conditions(batch, NEVER, m).unflatten(0, (2, FRAMES)) for m in ("similarity", mode))
    assert torch.equal(usual[:, :, 1:], other[:, :, 1:])
    hint = torch.zeros(2, FRAMES)
    if mode == "onehot":
        hint[torch.arange(2), batch.condition_frame] = 1
    assert torch.equal(other[:, :, 0, 0, 0], hint)


def test_noise_follows_the_linear_schedule_one_timestep_per_clip():
    batch, draws, made = example()
    step = draws.timestep[1]
    row = FRAMES + 2  # frame 2 of clip 1
    expected = ALPHAS[step].sqrt() * batch.latents[1, 2] + (1 - ALPHAS[step]).sqrt() * draws.noise[1, 2]
    assert torch.allclose(made.noisy[row], expected, atol=1e-6)
    assert made.timestep.tolist() == [int(t) for t in draws.timestep for _ in range(FRAMES)]
    assert torch.equal(made.noise[row], draws.noise[1, 2])


def test_dropped_text_is_the_empty_text():
    batch, _, made = example(drop_text=torch.tensor([True, False]))
    assert torch.equal(made.text[0], batch.null_text)
    assert torch.equal(made.text[FRAMES], batch.text[1])


def test_motion_stage_always_drops_the_condition():
    assert not example(TrainConfig(stage="motion", drop_condition=0.0))[2].condition.any()
    assert example(TrainConfig(drop_condition=0.0))[2].condition.any()


def test_drops_come_as_often_as_asked_and_independently():
    draws = training_draws(TrainConfig(seed=1, drop_condition=0.2, drop_text=0.1), 0, (4000, 1, 4, 1, 1))
    share = (
        draws.drop_condition.float().mean(),
        draws.drop_text.float().mean(),
        (draws.drop_condition & draws.drop_text).float().mean(),
    )
    assert share[0] == pytest.approx(0.2, abs=0.02)
    assert share[1] == pytest.approx(0.1, abs=0.015)
    assert share[2] == pytest.approx(0.02, abs=0.008)
    assert set(draws.timestep.tolist()) <= set(range(1000)) and draws.timestep.float().mean() == pytest.approx(
        499.5, abs=15
    )


def test_a_samples_draws_depend_on_its_number_and_the_seed_alone():
    config = TrainConfig(seed=1, noisiest_share=0.5, pure_noise=0.5)
    together, alone = (training_draws(config, first, (count, 2, 4, 3, 3)) for first, count in ((6, 3), (8, 1)))
    assert torch.equal(together.noise[2], alone.noise[0]) and together.timestep[2] == alone.timestep[0]
    assert together.pure_noise[2] == alone.pure_noise[0]
    assert not torch.equal(training_draws(TrainConfig(seed=2), 8, (1, 2, 4, 3, 3)).noise, alone.noise)


def test_the_noisiest_tenth_is_drawn_as_often_as_asked_and_pure_there_alone():
    shape = (4000, 1, 4, 1, 1)
    usual, often = (
        training_draws(TrainConfig(seed=1, noisiest_share=share, pure_noise=0.4), 0, shape) for share in (0.0, 0.3)
    )
    assert (usual.timestep >= 900).float().mean() == pytest.approx(0.1, abs=0.02)
    assert (often.timestep >= 900).float().mean() == pytest.approx(0.1 * 0.7 + 0.3, abs=0.03)
    assert torch.equal(usual.noise, often.noise)
    assert not often.pure_noise[often.timestep < 900].any()
    assert often.pure_noise[often.timestep >= 900].float().mean() == pytest.approx(0.4, abs=0.05)
    assert not training_draws(TrainConfig(seed=1, noisiest_share=0.3), 0, shape).pure_noise.any()


def test_from_pure_noise_the_answer_leads_to_the_clip():
    batch, draws, made = example(timestep=torch.tensor([950, 950]), pure_noise=torch.tensor([True, False]))
    assert torch.equal(made.noisy[:FRAMES], draws.noise[0])
    alpha = ALPHAS[950]
    clip = (made.noisy - (1 - alpha).sqrt() * made.noise) / alpha.sqrt()
    assert torch.allclose(clip.unflatten(0, (2, FRAMES)), batch.latents.to(clip.dtype), atol=1e-4)
    assert torch.equal(made.noise[FRAMES:], draws.noise[1])


def test_loss_is_the_plain_error_unless_high_noise_is_weighted():
    _, draws, made = example()
    predicted = torch.randn_like(made.noise)
    plain = eps_loss(predicted, made)
    assert plain == pytest.approx(float((predicted - made.noise).square().mean()), rel=1e-5)
    weighted = example(TrainConfig(high_noise_weight=8.0, drop_condition=0.0))[2].weight
    assert torch.allclose(weighted, (1 / ALPHAS[draws.timestep]).clamp(max=8.0))


@pytest.mark.parametrize(
    "change",
    [
        {"latents": torch.zeros(2, FRAMES, 3, 8, 8)},
        {"affinity": torch.zeros(2, FRAMES + 1)},
        {"text": torch.zeros(1, 5, 8)},
        {"null_text": torch.zeros(4, 8)},
        {"condition_frame": torch.tensor([0, FRAMES])},
    ],
)
def test_batches_that_do_not_fit_are_refused(change):
    check_batch(toy_clips(0, 2))
    with pytest.raises(TrainingError, match=next(iter(change))):
        check_batch(dataclasses.replace(toy_clips(0, 2), **change))
