"""See a picture move without the WebUI: python -m demo [--once] [--port N] [--data-dir DIR].

Starts minihost, asks its API for a clip of demo/assets/red_star.png, says where the files are, and serves the page.
With the trained miniature (demo/models) the star moves; without it the weights are random noise and so is the clip,
which is said.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parent
PICTURE = DEMO / "assets" / "red_star.png"
PROMPT = "a red star on a navy background, moving down"
TRAINED = {"Stable-diffusion": ("miniature.safetensors", "miniature.yaml"), "PIA": ("miniature_pia.safetensors",)}


def place_models(models: Path) -> bool:
    """Put the miniature into the host's folders, or tiny random models where it is missing; True when it is the
    miniature."""
    sources = [(DEMO / "models" / name, models / kind / name) for kind, names in TRAINED.items() for name in names]
    loras = [path for path in (DEMO / "models").glob("miniature_*.safetensors") if path.name not in TRAINED["PIA"]]
    if not all(source.exists() for source, _ in sources):
        place_random_models(models)
        return False
    for source, target in [*sources, *((path, models / "Lora" / path.name) for path in loras)]:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return True


def place_random_models(models: Path) -> None:
    from safetensors.torch import save_file

    from tests import tiny_models

    for path, weights in (
        (models / "Stable-diffusion" / "random.safetensors", tiny_models.ldm_checkpoint),
        (models / "PIA" / "random_pia.safetensors", tiny_models.official_pia),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            save_file({key: value.contiguous() for key, value in weights().items()}, path)
    (models / "Stable-diffusion" / "random.yaml").write_text(tiny_models.layout())


def make_clip(host, trained: bool) -> list[str]:
    """Paths of the files of one clip."""
    answer = host.img2img(
        prompt=PROMPT,
        init_images=[host.base64(PICTURE)],
        width=64,
        height=64,
        steps=20 if trained else 4,
        cfg_scale=1.5,
        seed=4,
        sampler_name="Euler",
        save_images=True,
        alwayson_scripts={"Animate (PIA)": {"args": [{"magnitude": "large"}]}},
    )
    return [file["path"] for file in answer["info"]["pia"]]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo", description="Animate a picture with PIA, without the WebUI."
    )
    parser.add_argument("--once", action="store_true", help="make the clip and exit")
    parser.add_argument("--port", type=int, default=None, help="port of the page (the first free one from 7860 on)")
    parser.add_argument(
        "--data-dir", type=Path, default=DEMO / "out", help="models, settings, clips (default: %(default)s)"
    )
    args = parser.parse_args(argv)

    from demo.minihost import start

    trained = place_models(args.data_dir / "models")
    host = start(args.data_dir, extensions=[DEMO.parent])
    if not trained:
        sys.stdout.write("demo/models has no trained miniature: the models are random, and the clip will be noise.\n")
    sys.stdout.write("".join(f"{path}\n" for path in make_clip(host, trained)))
    if not args.once:
        url = host.launch(args.port, block=False)
        sys.stdout.write(f"The page is at {url} (Ctrl+C ends it).\n")
        sys.stdout.flush()
        host.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
