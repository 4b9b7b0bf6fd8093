"""The colours of MP4 and WebM as Chromium shows them, against the frames.

A decoder that works by the file's tags (ffmpeg) cannot see what is wrong with them: Chromium takes BT.601 for a file of
fewer than 720 rows whose primaries are unknown, and its conversion without a GPU cannot hold BT.709's factor for blue.
"""

import base64

import numpy as np
import pytest

from lib_pia.video import ClipOptions, encode_clip, read_clip

TOLERANCE = 3  # levels of 255: the rounding of YUV in 8 bits, there and back, and the encoder's
COLORS = [
    (221, 44, 25), (20, 160, 60), (30, 60, 210), (200, 180, 160),
    (0, 0, 255), (255, 255, 0), (0, 255, 0), (0, 0, 0),
]  # fmt: skip
COLUMNS = 4
CASES = [
    ((64, 64), 1),
    ((64, 64), 2),
    ((65, 63), 2),
    ((512, 512), 1),
    ((511, 385), 2),
    ((768, 768), 1),
]  # (rows, columns)

DECODE = """async ({address, times}) => {
    const video = document.createElement("video");
    video.muted = true;
    await new Promise((done, failed) => {
        video.onloadeddata = done;
        video.onerror = () => failed(new Error(video.error.message));
        video.src = address;
    });
    const canvas = document.createElement("canvas"), frames = [];
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const paper = canvas.getContext("2d", {willReadFrequently: true});
    for (const time of times) {
        await new Promise((done) => { video.onseeked = done; video.currentTime = time; });
        let bytes;
        do {                                            // nothing is drawn as long as there is no decoded picture
            await new Promise((done) => setTimeout(done, 20));
            paper.clearRect(0, 0, canvas.width, canvas.height);
            paper.drawImage(video, 0, 0);
            bytes = paper.getImageData(0, 0, canvas.width, canvas.height).data;
        } while (bytes[3] === 0);
        let text = "";
        for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
        frames.push(btoa(text));
    }
    return {width: canvas.width, height: canvas.height, frames};
}"""


def fields(height: int, width: int) -> list[tuple[slice, slice]]:
    """Where each colour is, two rows of them."""
    down, right = height // 2, width // COLUMNS
    corners = [(down * (i // COLUMNS), right * (i % COLUMNS)) for i in range(len(COLORS))]
    return [(slice(top, top + down), slice(left, left + right)) for top, left in corners]


def clip_of_fields(height: int, width: int, count: int = 2) -> np.ndarray:
    """[count, height, width, 3] uint8: flat colours, and a bar that moves between the rows."""
    clip = np.zeros((count, height, width, 3), np.uint8)
    for place, color in zip(fields(height, width), COLORS):
        clip[(slice(None), *place)] = color
    for step, frame in enumerate(clip):
        frame[height // 2 - 2 : height // 2 + 2, 4 * step : 4 * step + 8] = 255
    return clip


def colors_of(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """The colour of each field in each frame, [frames, fields, 3]: the median, which noise of the encoder does not
    move."""
    return np.stack([np.median(frames[(slice(None), *place)], axis=(1, 2)) for place in fields(height, width)], 1)


def shown(browser, path, mime: str, count: int, fps: float) -> np.ndarray:
    """What Chromium draws of each frame, [count, height, width, 3] uint8."""
    page = browser.new_page()
    try:
        address = f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"
        found = page.evaluate(DECODE, {"address": address, "times": [(i + 0.5) / fps for i in range(count)]})
    finally:
        page.close()
    raw = [np.frombuffer(base64.b64decode(frame), np.uint8) for frame in found["frames"]]
    return np.stack([frame.reshape(found["height"], found["width"], 4)[..., :3] for frame in raw])


@pytest.mark.parametrize(("size", "interpolate"), CASES)
def test_flat_colors_are_the_frames(browser, tmp_path, size, interpolate):
    options = ClipOptions(interpolate=interpolate)
    files = encode_clip(clip_of_fields(*size), tmp_path / "clip", ["apng", "mp4", "webm"], options)
    assert files.errors == {}
    exact, *videos = files
    wanted = colors_of(np.stack([np.asarray(frame) for frame in read_clip(exact.path)]), *size)
    assert np.abs(wanted[:, :, :] - np.array(COLORS)).max() <= TOLERANCE
    for file in videos:
        found = colors_of(shown(browser, file.path, file.mime, file.frames, file.fps), *size)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= TOLERANCE, (file.format, found.tolist())
