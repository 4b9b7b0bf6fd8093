"""minihost with the extension, the probe and the miniature: python -m tests.scenarios.serve DATA_DIR PORT [flags]."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import torch

from demo.__main__ import place_models
from demo.minihost import start

ROOT = Path(__file__).resolve().parents[2]
RECORDED = Path(__file__).resolve().parent / "recorded" / "v1.10.1.json"
PROBE = Path(__file__).resolve().parent / "probe"


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone, however it went."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(data_dir: str, port: str, *flags: str) -> None:
    end_with_parent()
    torch.set_num_threads(1)
    folder = Path(data_dir)
    place_models(folder / "models")
    # a WebUI in use has its settings in a file; those of a request are only given back where they are in it
    settings = json.loads(RECORDED.read_text(encoding="utf-8"))["options"]
    settings.update(
        {f"outdir_{tab}_samples": str(folder / "outputs" / f"{tab}-images") for tab in ("txt2img", "img2img")}
    )
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    start(folder, extensions=[PROBE, ROOT], flags=list(flags)).launch(int(port), block=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
