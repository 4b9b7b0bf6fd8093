"""dev.py: what ends it ends what it started, and wrong arguments get a sentence."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dev

ROOT = Path(__file__).resolve().parents[2]
WRITES_ITS_NUMBER = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"
HEARS = "for number in dev.ENDING: signal.signal(number, signal.SIG_DFL)"  # under nohup it would be deaf, as it should
RUNS_IT = f"""import signal, sys, dev
{HEARS}
sys.exit(dev.run([sys.executable, "-c", {WRITES_ITS_NUMBER!r}]))"""


def is_running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_was_started_too(number):
    parent = subprocess.Popen([sys.executable, "-c", RUNS_IT], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with parent:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(number)
        assert parent.wait(30) == 128 + number
    end = time.monotonic() + 10
    while is_running(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(child)


def test_the_status_of_what_was_run_is_handed_on():
    assert dev.run([sys.executable, "-c", "import sys; sys.exit(7)"]) == 7


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["test", "--webui"], "--webui got nothing; it wants the address of a WebUI"),
        (["test", "--webui", "localhost"], "--webui got localhost; it wants the address of a WebUI"),
        (["test", "--webui", "http://127.0.0.1:9"], "No WebUI answers at http://127.0.0.1:9"),
        (["bench", "speed"], "bench got speed; it wants one of"),
    ],
)
def test_wrong_arguments_get_a_sentence(arguments, sentence, capsys, monkeypatch):
    monkeypatch.setattr(dev, "ensure_venv", lambda: Path(sys.executable))
    monkeypatch.setattr(dev, "ensure_browser", lambda: "chromium")
    assert dev.main(arguments) == 1
    said = capsys.readouterr().out.strip()
    assert said.startswith(sentence) and said.endswith(".") and "\n" not in said


def test_another_python_gets_a_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(dev, "VENV", tmp_path / "none")
    monkeypatch.setattr(dev.sys, "version_info", (3, 9, 0))
    assert dev.main(["test"]) == 1
    assert "needs 3.11 or 3.12" in capsys.readouterr().out


def test_the_document_keeps_the_other_hosts_sections():
    from tests.scenarios.tested import HEAD, with_section

    one = with_section(HEAD, "WebUI", "first")
    two = with_section(one, "host pins", "second")
    assert with_section(two, "WebUI", "third") == two.replace("first", "third") and "second" in two


def test_outcomes_are_counted_per_group(tmp_path):
    from tests.scenarios.tested import groups

    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.scenarios.test_rows" name="a" time="1.5"/>'
        '<testcase classname="tests.scenarios.test_rows" name="b" time="1"><failure/></testcase>'
        "</testsuite></testsuites>"
    )
    counts, seconds, failed = groups(report)
    assert dict(counts["scenarios/rows"]) == {"passed": 1, "failed": 1} and seconds["scenarios/rows"] == 2.5
    assert failed == ["scenarios/rows: b"]
