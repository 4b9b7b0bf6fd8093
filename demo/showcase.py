"""README's moving picture: python -m demo.showcase OUT.webp [--data-dir DIR].

Several models, several motions and a clip of 64 frames of the trained miniature, made by the extension in minihost and
shown side by side, enlarged without smoothing. Clips of 16 frames play four times while the long one plays once.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageSequence

from demo.__main__ import DEMO, place_models
from demo.miniature.scenes import describe, to_bytes
from demo.miniature.shapes import Figure, Scene, render

FRAMES, FPS, COLUMNS = 64, 8, 4
TILE, CAPTION, GAP = 192, 18, 6  # pixels: 64 enlarged three times, the line of text, what is between
PAPER, INK = (255, 255, 255), (60, 60, 60)
QUALITY = 65  # of WebP; half a megabyte


@dataclass(frozen=True)
class Tile:
    """One clip: what is written under it, the scene of its condition picture, how its figures move, its settings."""

    caption: str
    scene: Scene
    motions: tuple[str, ...]
    settings: dict = field(default_factory=dict)
    prompt: str | None = None  # instead of the scene's description

    def request(self) -> dict:
        """Arguments of img2img."""
        lora = "" if self.scene.style == "flat" else f" <lora:miniature_{self.scene.style}:1>"
        settings = {"magnitude": "large", "formats": ["apng"]} | self.settings
        return {
            "prompt": self.prompt or describe(self.scene, self.motions) + lora,
            "init_images": [encoded(self.scene)],
            **{"width": 64, "height": 64, "steps": 25, "sampler_name": "Euler", "cfg_scale": 1.5, "seed": 4},
            "alwayson_scripts": {"Animate (PIA)": {"args": [settings]}},
        }


def encoded(scene: Scene) -> str:
    """The scene's picture, a PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(to_bytes(render(scene))).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def figure(shape: str, colour: str, style: str = "flat", background: str = "navy", x: float = 32.0) -> Scene:
    return Scene(background, (Figure(shape, colour, x, 32.0, 13.0),), style)


def tiles() -> list[Tile]:
    star, ends = figure("star", "red"), [figure("circle", "yellow", background="plum", x=x) for x in (18.0, 46.0)]
    travel = "\n".join(
        f"{frame}: {describe(star, (motion,))}" for frame, motion in ((0, "left"), (24, "up"), (48, "right"))
    )
    return [
        Tile("moving left", star, ("left",)),
        Tile("moving up, small", star, ("up",), {"magnitude": "small"}),
        Tile("a loop", star, ("right",), {"motion": "loop"}),
        Tile("an end picture", ends[0], ("right",), {"pictures": [{"frame": -1, "image": encoded(ends[1])}]}),
        Tile("model: outline", figure("square", "green", "outline", "brown"), ("right",)),
        Tile("model: palette", figure("triangle", "purple", "palette", "teal"), ("down",)),
        Tile("model: stripes", figure("circle", "orange", "stripes", "olive"), ("left",)),
        Tile("64 frames: left, up, right", star, (), {"num_frames": FRAMES, "magnitude": "moderate"}, travel),
    ]


def frames_of(clip: str) -> list[Image.Image]:
    """FRAMES enlarged frames of an APNG in base64, from its beginning again where it is shorter."""
    frames = [f.convert("RGB") for f in ImageSequence.Iterator(Image.open(io.BytesIO(base64.b64decode(clip))))]
    large = [frame.resize((TILE, TILE), Image.Resampling.NEAREST) for frame in frames]
    return [large[number % len(large)] for number in range(FRAMES)]


def compose(captions: list[str], clips: list[list[Image.Image]]) -> list[Image.Image]:
    """The clips in a grid with their captions, one picture per frame."""
    rows = -(-len(clips) // COLUMNS)
    width, height = COLUMNS * (TILE + GAP) - GAP, rows * (TILE + CAPTION + GAP) - GAP
    pages = []
    for number in range(FRAMES):
        page = Image.new("RGB", (width, height), PAPER)
        for place, (caption, clip) in enumerate(zip(captions, clips)):
            left, top = place % COLUMNS * (TILE + GAP), place // COLUMNS * (TILE + CAPTION + GAP)
            page.paste(clip[number], (left, top))
            ImageDraw.Draw(page).text((left + 2, top + TILE + 3), caption, fill=INK)
        pages.append(page)
    return pages


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.showcase", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", type=Path, default=None, help="where the host keeps its files (default: removed)")
    args = parser.parse_args(argv)

    from demo.minihost import start

    with tempfile.TemporaryDirectory() as temporary:
        folder = args.data_dir or Path(temporary)
        if not place_models(folder / "models"):
            raise SystemExit("demo/models has no trained miniature: there is nothing to show.")
        host = start(folder, extensions=[DEMO.parent])
        shown = tiles()
        clips = [frames_of(host.img2img(**tile.request())["images"][0]) for tile in shown]
    pages = compose([tile.caption for tile in shown], clips)
    pages[0].save(args.out, save_all=True, append_images=pages[1:], duration=1000 // FPS, loop=0, quality=QUALITY)
    return 0


if __name__ == "__main__":
    sys.exit(main())
