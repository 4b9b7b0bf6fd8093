"""minihost with tiny models for the browser tests: python -m tests.e2e.serve DATA_DIR PORT [flags of the WebUI]."""

import sys
from pathlib import Path

import torch

from demo.minihost import start
from tests.host.conftest import REPOSITORY, Models
from tests.scenarios.serve import end_with_parent


def main(data_dir: str, port: str, *flags: str) -> None:
    end_with_parent()
    torch.set_num_threads(1)
    folder = Path(data_dir)
    made = Models(folder / "models")
    made.default()
    made.other()
    made.pia()
    start(folder, extensions=[REPOSITORY], flags=list(flags)).launch(int(port), block=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
