"""Where the word of the shape acts in the miniature's clips: `python dev.py bench attention [--pictures N]`.

Per reading (as `attention_of` does it, with more layers, and each layer alone): the share of the attention that falls
inside the figure over the figure's share of the area, and the correlation of the map's centroid with the figure's along
the clip's direction; means over clips.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack

import numpy as np
import torch
from torch.nn.functional import interpolate

from demo.miniature.net import MODELS, Miniature
from demo.miniature.sample import Sampling, clips_of, encode_picture
from demo.miniature.scenes import FRAMES, shape_word
from demo.miniature.shapes import SIZE, paint_background
from lib_pia.attention_map import AttentionReader, read_attention, word_positions
from lib_pia.checkpoint import load_pia_model
from lib_pia.model import PIAModel

from . import miniature_score as score
from .miniature_cases import BASE, Case, direction_cases, load_model, picture_of

CELLS = 8  # side of the latents of a 64 px picture
STEPS = 25
READINGS = {  # options of the reader
    "attention_of: the decoder's, 8x8": {},
    "the decoder's, 8x8 and 4x4": {"factors": (1, 2)},
    "all, 8x8": {"layers": ()},
    "all, 8x8 and 4x4": {"layers": (), "factors": (1, 2)},
}


def read_clip(model: Miniature, pia: PIAModel, case: Case, readers: dict[str, AttentionReader]) -> np.ndarray:
    """The clip [F, 64, 64, 3] of a case, read by every reader for the word of its shape."""
    word = shape_word(case.scene.figures[0])
    positions = word_positions([model.tokenizer([case.text])[0].tolist()], model.tokenizer.word(word), word)

    def begin(*call: object) -> None:
        for reader in readers.values():
            reader.begin_step([positions])

    latent, affinity = encode_picture(model, picture_of(case.scene)), case.affinity[None]
    with ExitStack() as stack:
        stack.callback(model.unet.register_forward_pre_hook(begin).remove)
        for reader in readers.values():
            stack.enter_context(read_attention(model.unet, reader))
        return clips_of(model, pia, latent, [case.text], affinity, Sampling(STEPS, 1.0), [case.seed]).numpy()[0]


def centroids(weights: np.ndarray) -> np.ndarray:
    """[F, 2] px (x, y) of weights [F, H, W]."""
    ys, xs = np.mgrid[:SIZE, :SIZE] + 0.5
    sums = np.stack([(xs * weights).sum((1, 2)), (ys * weights).sum((1, 2))], -1)
    return sums / weights.sum((1, 2))[:, None]


def figures_of(maps: torch.Tensor, clip: np.ndarray, case: Case) -> tuple[float, float]:
    """(share of the attention inside the figure over its share of the area, correlation of the centroids)."""
    large = interpolate(maps[:, None], (SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0].numpy()
    background = paint_background(case.scene)
    mask = np.stack([score.figure_mask(frame / 255.0, background) for frame in clip]).astype(float)
    inside = (large * mask).sum((1, 2)) / large.sum((1, 2))
    theirs, ours = centroids(mask), centroids(large)
    axis = int(np.ptp(theirs, axis=0).argmax())
    return float((inside / mask.mean((1, 2))).mean()), float(np.corrcoef(theirs[:, axis], ours[:, axis])[0, 1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python dev.py bench attention", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=5, help="of the base, one prompt each (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model, pia = load_model(BASE), load_pia_model(MODELS / "miniature_pia.safetensors", dtype=torch.float32)
    layers = [name for name, _ in model.unet.named_modules() if name.endswith("attn2") and "middle" not in name]
    readings = READINGS | {name.split(".transformer")[0]: {"layers": (name,), "factors": (1, 2)} for name in layers}
    found: dict[str, list[tuple[float, float]]] = {}
    for case in direction_cases(BASE, options.pictures)[::3]:
        readers = {name: AttentionReader(FRAMES, (CELLS, CELLS), **given) for name, given in readings.items()}
        clip = read_clip(model, pia, case, readers)
        for name, reader in readers.items():
            if not reader.is_empty:
                found.setdefault(name, []).append(figures_of(reader.maps(), clip, case))
    for name, rows in found.items():
        share, correlation = np.mean(rows, axis=0)
        sys.stdout.write(f"{name:36} {share:5.2f} {correlation:6.2f}\n")
    sys.stdout.write(f"{len(next(iter(found.values())))} clips\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
