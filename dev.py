"""Development commands; needs only Python 3.11 or 3.12 and the package registry, and makes its own `.venv`.

python dev.py demo [--once] [--port N]     a clip from a picture in the repository, then the page on localhost
python dev.py test [pytest arguments]      everything that CI runs
python dev.py test --webui URL             the scenarios and the page's tests on a running WebUI; writes docs/TESTED.md
python dev.py test --host-pins             unit tests and scenarios with the WebUI's own pins (Python 3.10); likewise
python dev.py bench NAME                   tables, each from one run; without a name it says which there are
python dev.py lint                         ruff

A WebUI for --webui (v1.10.1, on this machine, --api) has this repository and tests/scenarios/probe as extensions, and
the miniature by `python -m demo.miniature.webui WEBUI_FOLDER`. --webui may be given more than once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
REQUIREMENTS = [(ROOT / "requirements" / "dev.txt", []), (ROOT / "requirements" / "dev-nodeps.txt", ["--no-deps"])]
PYTHONS = ((3, 11), (3, 12))
HOST_VENV = ROOT / ".venv-host"  # what the WebUI v1.10.1 installs, for --host-pins
HOST_REQUIREMENTS = [(ROOT / "requirements" / "host.txt", []), REQUIREMENTS[1]]
# Left out with the host's pins, none of it a part of the extension: float16 on a CPU, which torch 2.1.2 cannot do, and
# what makes the miniature, with a newer transformers and torch.
HOST_LEFT_OUT = (
    "unit/test_motion_module.py::test_half_precision_is_near_full_precision[dtype0]",
    "unit/test_miniature_weights.py",
    "unit/test_miniature.py::test_the_tokenizer_equals_transformers",
    "unit/test_miniature_muon.py",
    "unit/test_miniature_training.py",
)
HOST_TESTS = ("tests/unit", "tests/scenarios", *(f"--deselect=tests/{name}" for name in HOST_LEFT_OUT))
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
WORKERS = 2  # processes of the tests; each has a host of its own, 2 GB
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BENCHES = ("engine", "fidelity", "clip", "miniature", "animatebench", "attention", "beyond", "fast", "webui")


class DevError(Exception):
    """A sentence for the person who ran the command."""


def venv_python(venv: Path = VENV) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def say(text: str) -> None:
    print(text, flush=True)


def run(command: list, **kwargs) -> int:
    """Runs `command` to its end. What ends this process ends it too."""
    child = subprocess.Popen([str(part) for part in command], cwd=ROOT, **kwargs)

    def forward(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)

    ending = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    before = {number: signal.signal(number, forward) for number in ending}
    try:
        return _ended(child.wait())
    except KeyboardInterrupt:  # the terminal told the child as well
        child.wait()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(code: int) -> int:
    """The status of a process as a shell tells it: 128 + the signal that ended it."""
    return code if code >= 0 else 128 - code


def ensure_venv() -> Path:
    """Makes `.venv` as the requirement files say, once; returns its python."""
    if _is_made(VENV, REQUIREMENTS):
        return venv_python()
    if sys.version_info[:2] not in PYTHONS:
        raise DevError(
            f"This is Python {sys.version_info[0]}.{sys.version_info[1]}; the development environment needs 3.11 "
            "or 3.12. "
            "Run the command with one of them, for example: python3.11 dev.py demo"
        )
    return _make(VENV, REQUIREMENTS, sys.executable)


def _wanted(requirements: list) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path, _ in requirements)).hexdigest()


def _is_made(venv: Path, requirements: list) -> bool:
    stamp = venv / ".requirements"
    return stamp.exists() and stamp.read_text() == _wanted(requirements) and venv_python(venv).exists()


def _make(venv: Path, requirements: list, python: str) -> Path:
    say(f"Making {venv.name} (a few minutes the first time) ...")
    if not venv_python(venv).exists() and run([python, "-m", "venv", venv]):
        raise DevError(
            f"Python could not make a virtual environment in {venv}; install its venv module (Debian: python3-venv)."
        )
    for path, options in requirements:
        pip = [venv_python(venv), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        if run([*pip, *options, "-r", path]):
            raise DevError(
                f"pip could not install {path.relative_to(ROOT)} (see above); check the network, then run this again."
            )
    (venv / ".requirements").write_text(_wanted(requirements))
    return venv_python(venv)


def ensure_host_venv() -> Path:
    """Makes `.venv-host` with what the WebUI v1.10.1 itself installs (about 6 GB: its torch brings CUDA along)."""
    if _is_made(HOST_VENV, HOST_REQUIREMENTS):
        return venv_python(HOST_VENV)
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for python in ("python3.10", *map(str, sorted(versions.glob("3.10.*/bin/python3.10")))):
        with contextlib.suppress(OSError):
            answer = subprocess.run([python, "--version"], capture_output=True, text=True)
            if answer.stdout.startswith("Python 3.10."):
                return _make(HOST_VENV, HOST_REQUIREMENTS, python)
    raise DevError("There is no Python 3.10, which the WebUI runs on; install one and put python3.10 on the PATH.")


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
    urls, args = _values("--webui", args)
    pins = "--host-pins" in args
    args = [arg for arg in args if arg != "--host-pins"]
    browser = _browser_or_sentence()
    if pins:
        return _tested("host pins", ensure_host_venv(), [*HOST_TESTS, "-m", "not browser", *args], "test --host-pins")
    python = ensure_venv()
    for url in urls:
        check_webui(url)
    for url in urls:
        marks = [] if browser else ["-m", "not browser"]
        where = {"PIA_WEBUI_URL": url, "PIA_CHROMIUM": browser or ""}
        name = "WebUI" if len(urls) == 1 else f"WebUI {urls.index(url) + 1}"
        tests = ["tests/scenarios", "tests/e2e", *marks, *args]
        if code := _tested(name, python, tests, "test --webui URL", url, **where):
            return code
    if urls:
        return 0
    if code := lint([]):
        return code
    marks = [] if browser else ["-m", "not browser"]
    workers = ["-n", str(WORKERS), "--no-loadscope-reorder"]
    return run([python, "-m", "pytest", *workers, *marks, *args], env=environment(PIA_CHROMIUM=browser or ""))


def check_webui(url: str) -> None:
    """Raises DevError where no WebUI answers, or one without what the scenarios need."""
    wanted = {
        "/sdapi/v1/options": "start it with --api",
        "/pia/v1/models": "make this repository an extension of it",
        "/pia-probe/host": "make tests/scenarios/probe an extension of it too",
    }
    for path, advice in wanted.items():
        try:
            urllib.request.urlopen(url.rstrip("/") + path, timeout=60).close()
        except urllib.error.HTTPError as error:
            sentence = f"The WebUI at {url} answers {error.code} for {path}; {advice}, then run this again."
            raise DevError(sentence) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise DevError(f"No WebUI answers at {url} ({reason}); start one, then run this again.") from None


def _values(name: str, args: list[str]) -> tuple[list[str], list[str]]:
    """The values of an option that may be given several times, and the other arguments."""
    found, rest = [], []
    left = iter(args)
    for arg in left:
        if arg == name:
            value = next(left, "")
            if not value.startswith(("http://", "https://")):
                raise DevError(f"{name} got {value or 'nothing'}; it wants the address of a WebUI, http://127.0.0.1:7860.")
            found.append(value)
        else:
            rest.append(arg)
    return found, rest


def _browser_or_sentence() -> str | None:
    browser = ensure_browser()
    if not browser:
        sentence = "There is no Chromium and it could not be installed (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            raise DevError(f"{sentence}; the browser tests cannot run, and CI=true demands them.")
        say(f"{sentence}: the browser tests are left out.")
    return browser


def _tested(name: str, python: Path, tests: list[str], command: str, url: str = "", **extra: str) -> int:
    """Runs tests and writes what came of them into docs/TESTED.md."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        pytest = [python, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
        code = run([*pytest, *tests], env=environment(**extra))
        if not report.exists():
            raise DevError(f"pytest did not come to an end (status {code}), and docs/TESTED.md is as it was.")
        told = [name, report, f"python dev.py {command}", *([url] if url else [])]
        return run([python, "-m", "tests.scenarios.tested", *told], env=environment()) or code


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
