"""More frames per second, by motion-compensated interpolation."""

from __future__ import annotations

import numpy as np

from .ffmpeg import raw_input, run_ffmpeg, streamed
from .frames import FrameSequence, at_least

SMALLEST_MOTION = 32  # px: ffmpeg's minterpolate takes nothing smaller
AROUND = 2  # frames before and after a pair that minterpolate looks at, and by which it leaves out the end


def interpolated(clip: FrameSequence, factor: int, closed: bool = False) -> FrameSequence:
    """`factor` times the frame rate, the given frames among the new ones unchanged: (F - 1) * factor + 1 frames.

    `closed`: the clip is a loop, so that frames are made between the last and the first one too: F * factor frames.
    """
    count, height, width = clip.frames.shape[:3]
    if factor == 1 or count < 2:
        return clip
    padded = at_least(clip.frames, SMALLEST_MOTION)
    before, after = (np.arange(-AROUND, 0), np.arange(AROUND + 1)) if closed else (np.arange(0), np.full(AROUND, -1))
    order = np.concatenate([before, np.arange(count), after]) % count
    made = _minterpolate(FrameSequence(padded[order], clip.fps), factor)[len(before) * factor :]
    wanted = count * factor if closed else (count - 1) * factor + 1
    frames = np.array(made[np.minimum(np.arange(wanted), len(made) - 1), :height, :width])
    frames[::factor] = clip.frames
    return FrameSequence(frames, clip.fps * factor, closed)


def _minterpolate(clip: FrameSequence, factor: int) -> np.ndarray:
    """ffmpeg's filter; its result begins with the first frame and leaves out the end."""
    # aobmc + bilat was both the fastest and the nearest to the true frames (3.98 s, 48.1 dB against 7.01 s, 44.5 dB for
    # bidir)
    motion = f"minterpolate=fps={clip.fps * factor}:mi_mode=mci:mc_mode=aobmc:me_mode=bilat:scd=none"
    data = run_ffmpeg(
        [*raw_input(clip), "-vf", f"format=yuv444p,{motion}", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"],
        streamed(clip.frames),
    )
    return np.frombuffer(data, np.uint8).reshape(-1, *clip.frames.shape[1:])
