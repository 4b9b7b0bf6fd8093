"""Clips in a folder: what is taken, what is refused, and what a training clip is made of."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from lib_pia.affinity import WEBVID_PERCENTILES, affinity_of_clip, frame_distances
from lib_pia.errors import TrainingError
from lib_pia.training import AffinityScale
from lib_pia.training.clips import find_clips, read_frames
from lib_pia.training.source import FolderClips
from lib_pia.training.store import DataOptions, FrameStore

OPTIONS = DataOptions(num_frames=4, stride=2, size=(64, 64))


def moving(count, width=64, height=64, shift=3, red=0):
    """A bright bar that moves by `shift` px per frame; `red` marks the clip."""
    frames = []
    for i in range(count):
        pixels = np.full((height, width, 3), (red, 40, 90), np.uint8)
        pixels[height // 4 : height // 2, (i * shift) % (width - 8) : (i * shift) % (width - 8) + 8] = 230
        frames.append(Image.fromarray(pixels))
    return frames


def write_gif(path, frames, caption=None):
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, loop=0)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)


def write_pictures(folder, frames, caption=None):
    folder.mkdir()
    for i, frame in enumerate(frames, start=8):  # 8.png, 9.png, 10.png, ...
        frame.save(folder / f"{i}.png")
    if caption is not None:
        folder.with_name(folder.name + ".txt").write_text(caption)


class ToyEncoders:
    """Mean: the picture averaged over 8x8 px, deviation 0.01; text: the caption's length."""

    def __init__(self):
        self.encoded = 0

    def moments(self, pixels):
        self.encoded += len(pixels)
        mean = torch.nn.functional.avg_pool2d(torch.cat([pixels, pixels.mean(1, keepdim=True)], 1), 8)
        return mean, torch.full_like(mean, 0.01)

    def encode_text(self, texts):
        return torch.tensor([[[float(len(text))]] for text in texts])


@pytest.fixture
def folder(tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    write_gif(clips / "a.gif", moving(9, red=10), "a bar")
    write_pictures(clips / "walk", moving(12, red=200), "a red bar")
    return clips


def source(folder, options=OPTIONS, **kwargs):
    store = FrameStore(folder.parent / "store")
    store.prepare(find_clips(folder), options, progress=False)
    return FolderClips(store, options, ToyEncoders(), seed=1, **kwargs)


def test_clips_and_captions_are_found(folder):
    found = find_clips(folder)
    assert [(clip.name, clip.caption) for clip in found] == [("a.gif", "a bar"), ("walk", "a red bar")]
    numbered = read_frames(found[1], 100)
    assert [np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(numbered, moving(12, red=200))] == [True] * 12


def test_a_table_of_captions_chooses_clips(folder):
    (folder / "captions.csv").write_text('clip,caption\nwalk,"a bar, moving"\n')
    assert [(clip.name, clip.caption) for clip in find_clips(folder)] == [("walk", "a bar, moving")]


def refused(folder, sentence, options=OPTIONS, captions=None):
    with pytest.raises(TrainingError, match=sentence) as caught:
        FrameStore(folder.parent / "store").prepare(find_clips(folder, captions), options, progress=False)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message


def test_folders_without_clips_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty holds no clips; put mp4")
    refused(tmp_path / "none", "none is no folder")


def test_a_clip_without_caption_is_refused(folder):
    (folder / "a.txt").unlink()
    refused(folder, "a.gif has no caption; write one into a.txt")
    (folder / "a.txt").write_text("  \n")
    refused(folder, "a.gif has no caption")
    (folder / "a.txt").write_bytes(b"\xff\xfe\x00a")
    refused(folder, "a.txt cannot be read; captions must be text in UTF-8")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("file,text\na.gif,x\n", "has the columns file,text; it must have clip,caption"),
        ("", r"has the columns \(none\)"),
        ("clip,caption\nb.gif,x\n", "names the clip 'b.gif', which is not in"),
        ("clip,caption\na.gif,\n", "a.gif has an empty caption"),
        ("clip,caption\na.txt,x\n", "names the clip 'a.txt'"),
    ],
)
def test_tables_that_do_not_fit_are_refused(folder, table, sentence):
    (folder / "captions.csv").write_text(table)
    refused(folder, sentence)


def test_a_table_that_is_not_there_is_refused(folder):
    refused(folder, "other.csv cannot be read as captions", captions=folder / "other.csv")


def test_short_clips_are_refused(folder):
    write_gif(folder / "short.gif", moving(3), "short")
    refused(folder, "short.gif has 3 frames; training clips of 4 need at least as many")


def test_unreadable_clips_are_refused(folder):
    (folder / "broken.mp4").write_bytes(b"not a video")
    (folder / "broken.txt").write_text("x")
    refused(folder, "broken.mp4 cannot be read .*; take it out of the folder or replace it")


def test_a_broken_picture_in_a_folder_is_refused(folder):
    (folder / "walk" / "10.png").write_bytes(b"x")
    refused(folder, "walk cannot be read")


def test_pictures_of_several_sizes_in_one_clip_are_refused(folder):
    Image.new("RGB", (32, 64)).save(folder / "walk" / "99.png")
    refused(folder, "walk has pictures of 32x64 and of 64x64")


def test_mixed_sizes_need_a_resolution(folder):
    write_gif(folder / "wide.gif", moving(9, width=128), "wide")
    refused(folder, "a.gif is 64x64, but wide.gif is 128x64; give --resolution", DataOptions(num_frames=4))
    store = FrameStore(folder.parent / "store")
    store.prepare(find_clips(folder), OPTIONS, progress=False)
    assert {clip.name: store.frames(clip).shape for clip in store.clips}["wide.gif"] == (9, 64, 128, 3)


def test_sizes_that_the_network_cannot_take_need_a_resolution(tmp_path):
    (tmp_path / "c").mkdir()
    write_gif(tmp_path / "c" / "a.gif", moving(9, width=72), "x")
    refused(tmp_path / "c", "a.gif is 72x64, which is no multiple of 64; give --resolution", DataOptions(num_frames=4))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_frames": 1}, "frames is 1; it must be from 2 to 32"),
        ({"num_frames": 33}, "frames is 33"),
        ({"stride": 0}, "stride is 0"),
        ({"size": (64, 72)}, "resolution is 64x72; both sides must be multiples of 64"),
        ({"crop": "left"}, "crop is 'left'"),
        ({"max_frames": 8}, "max frames is 8; it must be at least 16"),
    ],
)
def test_data_options_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(TrainingError, match=sentence):
        DataOptions(**options)


def test_nothing_is_decoded_twice_and_changed_clips_are_decoded_again(folder):
    store = FrameStore(folder.parent / "store")
    store.prepare(find_clips(folder), OPTIONS, progress=False)
    kept = {clip.name: (clip.file, (store.folder / clip.file).stat().st_mtime_ns) for clip in store.clips}
    write_gif(folder / "a.gif", moving(11, red=10))
    store.prepare(find_clips(folder), OPTIONS, progress=False)
    now = {clip.name: (clip.file, (store.folder / clip.file).stat().st_mtime_ns) for clip in store.clips}
    assert now["walk"] == kept["walk"] and now["a.gif"] != kept["a.gif"]
    other = FrameStore(store.folder)
    other.load()
    assert other.clips == store.clips


def test_every_clip_comes_once_per_pass_in_a_new_order(folder):
    for i in range(4):
        write_gif(folder / f"more{i}.gif", moving(9), "x")
    clips = source(folder)
    passes = [[clips.clip_index(n) for n in range(start, start + 6)] for start in (0, 6, 12)]
    assert all(sorted(order) == list(range(6)) for order in passes) and len({tuple(order) for order in passes}) > 1


def test_windows_have_the_stride_and_every_condition_frame_comes(folder):
    clips = source(folder)
    for number in range(12):
        window, name = clips.window(number), clips.store.clips[clips.clip_index(number)].name
        frames = [np.asarray(frame) for frame in moving(12, red=200)]
        if name == "walk":
            start = next(i for i, frame in enumerate(frames) if np.array_equal(frame, window.frames[0]))
            assert all(np.array_equal(window.frames[i], frames[start + 2 * i]) for i in range(4))
    assert {clips.window(number).condition_frame for number in range(40)} == {0, 1, 2, 3}


def test_a_clip_too_short_for_the_stride_takes_a_smaller_one():
    assert DataOptions(num_frames=16, stride=4).reach(61) == (4, 0)
    assert DataOptions(num_frames=16, stride=4).reach(60) == (3, 14)
    assert DataOptions(num_frames=16, stride=4).reach(16) == (1, 0)


def test_crops_are_centred_or_drawn_and_flips_mirror(folder):
    shutil.rmtree(folder / "walk")
    (folder / "walk.txt").unlink()
    write_gif(folder / "a.gif", moving(9, width=192, shift=9), "wide")
    middle = source(folder).window(0).frames
    stored = source(folder).store
    whole = stored.frames(stored.clips[0])
    assert any(np.array_equal(middle[0], frame[:, 64:128]) for frame in whole)
    drawn = source(folder, DataOptions(num_frames=4, stride=2, size=(64, 64), crop="random"))
    assert {drawn.window(n).frames.shape for n in range(4)} == {(4, 64, 64, 3)}
    assert len({drawn.window(n).frames.tobytes() for n in range(6)}) > 3
    flipped = source(folder, DataOptions(num_frames=4, stride=2, size=(64, 64), flip=True))
    same = [np.array_equal(flipped.window(n).frames, source(folder).window(n).frames) for n in range(12)]
    assert 0 < sum(same) < 12
    turned = same.index(False)
    assert np.array_equal(flipped.window(turned).frames[:, :, ::-1], source(folder).window(turned).frames)


def test_batches_hold_the_windows_latents_text_and_affinity(folder):
    clips = source(folder)
    batch, window = clips(3, 2), clips.window(4)
    mean, _ = ToyEncoders().moments(torch.from_numpy(window.frames).permute(0, 3, 1, 2) / 127.5 - 1)
    assert torch.allclose(batch.latents[1], mean * 0.18215, atol=0.01 * 0.18215 * 6)
    assert not torch.equal(batch.latents[1], mean * 0.18215)  # drawn from the posterior
    assert batch.text[1].item() == len(window.caption) and batch.null_text.item() == 0
    assert batch.condition_frame[1] == window.condition_frame
    assert torch.allclose(batch.affinity[1], affinity_of_clip(window.frames, window.condition_frame), atol=1e-6)


def test_a_batch_depends_on_its_numbers_alone(folder):
    ahead = source(folder, ahead=2)
    ahead(0, 2)
    following, alone = ahead(2, 2), source(folder)(3, 1)
    for name in ("latents", "text", "affinity", "condition_frame"):
        assert torch.equal(getattr(following, name)[1:], getattr(alone, name))


def test_cached_latents_equal_fresh_ones_and_are_encoded_once(folder):
    fresh, cached = source(folder), source(folder)
    cached.use_cached_latents(progress=False)
    encoded = cached.encoders.encoded
    assert (
        torch.allclose(fresh(0, 3).latents, cached(0, 3).latents, atol=1e-6)
        and cached.encoders.encoded == encoded == 9 + 12
    )
    again = source(folder)
    again.use_cached_latents(progress=False)
    assert again.encoders.encoded == 0
    with pytest.raises(TrainingError, match="leave out --cache-latents"):
        source(folder, DataOptions(num_frames=4, size=(64, 64), crop="random")).use_cached_latents()


def test_the_scale_is_the_affinity_of_a_clip():
    frames = np.stack([np.asarray(frame) for frame in moving(6, shift=6)])
    for condition_frame in (0, 4):
        scaled = AffinityScale().affinity(frame_distances(frames, condition_frame)[None], [condition_frame])[0]
        assert torch.allclose(scaled, affinity_of_clip(frames, condition_frame, WEBVID_PERCENTILES), atol=1e-6)
        assert scaled[condition_frame] == 1 and scaled.min() >= 0.2


def test_the_scale_is_measured_by_distance_in_time():
    rng = np.random.default_rng(0)
    samples = [
        (torch.tensor([abs(i - c) * float(rng.uniform(1, 3)) for i in range(5)]), c) for c in (0, 4) for _ in range(200)
    ]
    low, high = zip(*AffinityScale.measure(samples).percentiles)
    assert len(low) == 5 and (low[0], high[0]) == (0, 0)
    for apart in range(1, 5):
        assert low[apart] == pytest.approx(apart * 1.05, rel=0.03) and high[apart] == pytest.approx(
            apart * 2.95, rel=0.03
        )
    gaps = AffinityScale.measure([(torch.tensor([1.0, 0.0]), 1), (torch.tensor([5.0]), 3)]).percentiles
    assert gaps == ((0.0, 0.0), (1.0, 1.0), (1.0, 1.0), (5.0, 5.0))


def test_a_scale_is_kept_in_a_file_and_other_files_are_refused(tmp_path):
    scale = AffinityScale(((0.0, 0.0), (1.5, 2.5)))
    scale.save(tmp_path / "scale.json")
    assert AffinityScale.load(tmp_path / "scale.json") == scale
    (tmp_path / "other.json").write_text("[1]")
    for name in ("other.json", "none.json"):
        with pytest.raises(TrainingError, match=f"{name} is no affinity scale"):
            AffinityScale.load(tmp_path / name)


def test_clips_in_which_nothing_moves_have_no_scale(folder):
    for clip in list(folder.iterdir()):
        shutil.rmtree(clip) if clip.is_dir() else clip.unlink()
    write_pictures(folder / "still", moving(1) * 6, "still")
    with pytest.raises(TrainingError, match="No frame of any clip differs"):
        source(folder).measure_scale(progress=False)
