"""The live preview of a clip: which frames, when, in which form, and that it keeps to its share of the time."""

import io

import pytest
import torch
from PIL import Image


class Clock:
    """Seconds that pass only when told to; decoding one frame takes `cost`."""

    def __init__(self):
        self.now, self.cost = 0.0, 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def stage(host, monkeypatch):
    """(preview of 16 frames, clock, state, list of decoded frames)."""
    from modules.shared import state

    from lib_pia.host.generation import preview

    clock, decoded = Clock(), []

    def decode(latents, index):
        decoded.append(index)
        clock.now += clock.cost
        return Image.new("RGB", (4, 4), (index * 16, 255 * (index % 2), 0))

    monkeypatch.setattr(preview.sd_samplers, "sample_to_image", decode)
    state.current_image, state.current_latent, state.sampling_step, state.id_live_preview = (
        None,
        torch.zeros(16, 4, 2, 2),
        5,
        0,
    )
    yield preview.ClipPreview(16, 8, clock), clock, state, decoded
    state.current_latent = state.current_image = None


def test_the_first_preview_is_one_frame_that_moved(stage):
    preview, clock, state, decoded = stage
    clock.cost = 0.1
    preview()
    assert decoded == [15] and state.current_image.size == (4, 4) and state.current_image_sampling_step == 5


def test_with_time_the_sheet_holds_every_frame(stage):
    preview, clock, state, decoded = stage
    clock.cost = 0.001
    preview()
    clock.now = 10.0
    preview()
    assert decoded[1:] == list(range(16)) and state.current_image.size == (16, 16)


def test_slow_decoding_keeps_to_its_share(stage):
    from lib_pia.host.generation.preview import SHARE

    preview, clock, state, decoded = stage
    clock.cost = 0.2
    preview()
    for _ in range(600):  # ten minutes of sampling, asked every second
        clock.now += 1.0
        preview()
    assert preview.spent <= SHARE * clock.now + clock.cost
    assert len(decoded) > 16  # and yet it was not idle


def test_fewer_frames_where_all_would_be_too_many(stage):
    preview, clock, _, decoded = stage
    clock.cost = 0.01
    preview()
    clock.now = 6.0  # 2 % are 0.12 s: nine frames, not sixteen
    preview()
    assert decoded[1:] == [0, 2, 4, 6, 8, 9, 11, 13, 15]


@pytest.mark.parametrize("kind, moves", [("png", True), ("webp", True), ("jpeg", False)])
def test_without_the_grid_the_preview_moves_where_its_format_can(stage, host, kind, moves):
    preview, clock, state, _ = stage
    with host.options(show_progress_grid=False, live_previews_image_format=kind):
        preview()
        clock.now = 10.0
        preview()
        buffer = io.BytesIO()
        state.current_image.save(buffer, format=kind)
    shown = Image.open(buffer)
    assert getattr(shown, "n_frames", 1) == (16 if moves else 1)


def test_another_number_of_latents_is_left_to_the_host(stage, host):
    preview, _, state, decoded = stage
    state.current_latent = torch.zeros(3, 4, 2, 2)
    with host.options(show_progress_grid=False):
        preview()
    assert decoded == [] and preview.spent == 0


def test_the_hosts_own_preview_is_back_afterwards(host):
    from modules.shared import state

    from lib_pia.host.generation.preview import clip_preview

    with pytest.raises(KeyError), clip_preview(16, 8):
        assert "do_set_current_image" in vars(state)
        raise KeyError
    assert "do_set_current_image" not in vars(state)


def test_in_low_memory_modes_the_clip_takes_the_place_of_the_hosts_first_frame(stage, host, monkeypatch):
    from modules import shared

    from lib_pia.host.generation.preview import clip_preview

    _, _, state, decoded = stage
    monkeypatch.setattr(shared, "parallel_processing_allowed", False)
    with clip_preview(16, 8):
        state.assign_current_image(Image.new("RGB", (1, 1)))
    assert decoded == [15] and state.current_image.size == (4, 4)
    assert "assign_current_image" not in vars(state)


def test_a_decoder_that_fails_stops_nothing(stage, monkeypatch):
    from lib_pia.host.generation import preview as module

    preview, _, state, _ = stage
    monkeypatch.setattr(module.sd_samplers, "sample_to_image", lambda *_: 1 / 0)
    preview()
    assert state.current_image is None
