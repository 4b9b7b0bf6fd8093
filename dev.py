"""Development commands; needs only Python 3.11 or 3.12 and the package registry, and makes its own `.venv`.

python dev.py demo [--once] [--port N]     a clip from a picture in the repository, then the page on localhost
python dev.py test [pytest arguments]      everything that CI runs
python dev.py bench NAME                   tables, each from one run (engine, fidelity, clip, miniature, animatebench,
                                           beyond)
python dev.py lint                         ruff
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
REQUIREMENTS = [(ROOT / "requirements" / "dev.txt", []), (ROOT / "requirements" / "dev-nodeps.txt", ["--no-deps"])]
PYTHONS = ((3, 11), (3, 12))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BENCHES = ("engine", "fidelity", "clip", "miniature", "animatebench", "beyond")


class DevError(Exception):
    """A sentence for the person who ran the command."""


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def say(text: str) -> None:
    print(text, flush=True)


def run(command: list, **kwargs) -> int:
    return subprocess.run([str(part) for part in command], cwd=ROOT, **kwargs).returncode


def ensure_venv() -> Path:
    """Makes `.venv` as the requirement files say, once; returns its python."""
    stamp = VENV / ".requirements"
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path, _ in REQUIREMENTS)).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted and venv_python().exists():
        return venv_python()
    if sys.version_info[:2] not in PYTHONS:
        raise DevError(
            f"This is Python {sys.version_info[0]}.{sys.version_info[1]}; the development environment needs 3.11 "
            "or 3.12. "
            "Run the command with one of them, for example: python3.11 dev.py demo"
        )
    say("Making .venv (a few minutes the first time) ...")
    if not venv_python().exists() and run([sys.executable, "-m", "venv", VENV]):
        raise DevError(
            f"Python could not make a virtual environment in {VENV}; install its venv module (Debian: python3-venv)."
        )
    for path, options in REQUIREMENTS:
        if run([venv_python(), "-m", "pip", "install", "-q", "--disable-pip-version-check", *options, "-r", path]):
            raise DevError(
                f"pip could not install {path.relative_to(ROOT)} (see above); check the network, then run this again."
            )
    stamp.write_text(wanted)
    return venv_python()


def find_browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def ensure_browser() -> str | None:
    """Path of a Chromium, installed from Debian's package when that is possible; None when there is none."""
    if found := find_browser():
        return found
    apt = shutil.which("apt-get")
    if apt and hasattr(os, "geteuid") and os.geteuid() == 0:
        say("Installing Debian's chromium for the browser tests ...")
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        quiet = {"stdout": subprocess.DEVNULL, "env": env, "stdin": subprocess.DEVNULL}
        run([apt, "update", "-qq"], **quiet)
        run([apt, "install", "-y", "-qq", "--no-install-recommends", "chromium"], **quiet)
    return find_browser()


def environment(**extra: str) -> dict[str, str]:
    """One thread per process (two collapse when the machine does anything else), no downloads, no telemetry."""
    fixed = {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **fixed, **extra}


def demo(args: list[str]) -> int:
    return run([ensure_venv(), "-m", "demo", *args], env=environment())


def test(args: list[str]) -> int:
    python = ensure_venv()
    wanted = ["not host"] if not os.environ.get("PIA_WEBUI_DIR") else []
    browser = ensure_browser()
    if not browser:
        sentence = "There is no Chromium and it could not be installed (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            raise DevError(f"{sentence}; the browser tests cannot run, and CI=true demands them.")
        say(f"{sentence}: the browser tests are left out.")
        wanted.append("not browser")
    if code := lint([]):
        return code
    marks = ["-m", " and ".join(wanted)] if wanted else []
    return run([python, "-m", "pytest", *marks, *args], env=environment(PIA_CHROMIUM=browser or ""))


def bench(args: list[str]) -> int:
    if not args or args[0] not in BENCHES:
        raise DevError(f"bench got {' '.join(args) or 'no name'}; it wants one of {', '.join(BENCHES)}.")
    return run([ensure_venv(), "-m", f"tests.bench.{args[0]}", *args[1:]], env=environment())


def lint(args: list[str]) -> int:
    return run([ensure_venv(), "-m", "ruff", "check", *args, "."])


COMMANDS = {"demo": demo, "test": test, "bench": bench, "lint": lint}


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in COMMANDS:
        say(__doc__.strip())
        return 0 if argv[:1] in (["-h"], ["--help"]) else 2
    try:
        return COMMANDS[argv[0]](argv[1:])
    except DevError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"dev.py could not go on: {error}. Check free disk space and the rights on {ROOT}, and run it again.")
        return 1
    except KeyboardInterrupt:
        say("Stopped.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
