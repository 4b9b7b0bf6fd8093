"""The server that the tests start does not outlive them."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVES = (
    "import time; from tests.scenarios.serve import end_with_parent; end_with_parent(); print('up'); time.sleep(60)"
)
STARTS = f"""import subprocess, sys
child = subprocess.Popen([sys.executable, "-u", "-c", {SERVES!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
"""


def test_a_server_ends_with_the_process_that_started_it():
    started = subprocess.run([sys.executable, "-c", STARTS], cwd=ROOT, capture_output=True, text=True, check=True)
    server, end = int(started.stdout), time.monotonic() + 30
    while time.monotonic() < end:
        try:
            os.kill(server, 0)
        except ProcessLookupError:
            return
        time.sleep(0.2)
    os.kill(server, 9)
    raise AssertionError("the server went on for 30 s")
