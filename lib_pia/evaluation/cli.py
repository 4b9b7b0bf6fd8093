"""The command line: `python -m lib_pia.evaluation run|score|study|tally`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from lib_pia.errors import PIAError

CLIP = "openai/clip-vit-base-patch32"


def say(text: str) -> None:
    """One sentence for the user, above the progress bar if there is one."""
    tqdm.write(text, file=sys.stderr)


def _run(args: argparse.Namespace) -> int:
    from .run import Run
    from .run_options import RunOptions

    options = RunOptions(
        args.bench,
        args.out,
        tuple(args.url),
        args.method,
        args.models,
        args.seed,
        args.size,
        args.timeout,
        args.patience,
    )
    try:
        outcome = Run(options, say)()
    except KeyboardInterrupt:
        say(f"Stopped; the finished clips are in {args.out}, and the same command goes on with the others.")
        return 130
    if outcome.left:
        say(f"{outcome.left} clips were not made, since no server was left for them; run the same command again.")
    sys.stdout.write(
        f"{outcome.made + outcome.kept} clips in {args.out} ({outcome.made} new), {len(outcome.failed)} failed.\n"
    )
    return 0 if outcome.is_complete else 1


def _score(args: argparse.Namespace) -> int:
    from .score import score_runs

    score_runs(args.run, args.clip, args.out or args.run[0] / "score", say, args.device)
    return 0


def _study(args: argparse.Namespace) -> int:
    from .study import make_study

    page, key = make_study(args.run, args.questions, args.seed, args.out, say)
    sys.stdout.write(f"{page}: give it to the participants. {key}: keep it, `tally` needs it.\n")
    return 0


def _tally(args: argparse.Namespace) -> int:
    from .tally import tally

    sys.stdout.write(tally(args.key, args.answers, say) + "\n")
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lib_pia.evaluation",
        description="The paper's evaluation for any running WebUI; docs/EVALUATION.md shows it step by step.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    run = _command(commands, "run", _run, "make every clip of AnimateBench with one method")
    run.add_argument(
        "--bench", type=Path, required=True, help="folder with configs/<model>.yaml and img/<model>/1.png ..."
    )
    run.add_argument("--out", type=Path, required=True, help="folder of the run; a run that was stopped goes on in it")
    run.add_argument(
        "--url",
        action="append",
        required=True,
        help="a WebUI started with --api; several: each gets a part of the clips",
    )
    run.add_argument(
        "--method", default="pia", help="a shipped method or a YAML file with the request (default: %(default)s)"
    )
    run.add_argument("--models", type=Path, help="table of checkpoints (default: models.yaml in the bench's folder)")
    run.add_argument("--seed", type=int, default=0, help="of the first clip (default: %(default)s)")
    run.add_argument("--size", type=int, default=512, help="longest side of the clips, px (default: %(default)s)")
    run.add_argument(
        "--timeout", type=float, default=3600, help="seconds that one clip may take (default: %(default)s)"
    )
    run.add_argument(
        "--patience", type=float, default=60, help="seconds for a silent server to come back (default: %(default)s)"
    )

    score = _command(commands, "score", _score, "measure runs: table, CSV, JSON and a page with all clips")
    score.add_argument("--run", type=Path, action="append", required=True, help="folder of a run; several are compared")
    score.add_argument(
        "--clip", default=CLIP, help="CLIP model: a folder or a name in the cache; none: without (default: %(default)s)"
    )
    score.add_argument("--out", type=Path, help="folder of the results (default: score in the first run)")
    score.add_argument("--device", help="where CLIP computes (default: cuda if there is one, else cpu)")

    study = _command(commands, "study", _study, "write a page that asks people which clip they prefer")
    study.add_argument("--run", type=Path, action="append", required=True, help="folder of a run, two or more")
    study.add_argument(
        "--questions", type=int, default=20, help="how many clips are asked about (default: %(default)s)"
    )
    study.add_argument("--seed", type=int, default=0, help="of the choice and the order (default: %(default)s)")
    study.add_argument("--out", type=Path, default=Path("study.html"), help="the page (default: %(default)s)")

    counted = _command(commands, "tally", _tally, "count the answers of a study")
    counted.add_argument("answers", type=Path, nargs="+", help="files that the participants downloaded")
    counted.add_argument(
        "--key",
        type=Path,
        default=Path("study.key.json"),
        help="what `study` wrote beside its page (default: %(default)s)",
    )
    return parser


def _command(commands: argparse._SubParsersAction, name: str, function: Callable, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(function=function)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 1: something could not be made or used, said in one sentence; 2: wrong usage; 130: stopped."""
    args = make_parser().parse_args(argv)
    try:
        return args.function(args)
    except PIAError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
