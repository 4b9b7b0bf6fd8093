"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast examples are drawn and run says nothing about the code, only about how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

ORDER = ("e2e", "scenarios", "host", "parity", "unit")  # the longest first, so that the processes end together
ONE_PROCESS = ("e2e", "scenarios")  # folders that share a server; of all others the tests of a file stay together


@pytest.hookimpl(tryfirst=True)  # pytest-xdist's own reads the marks
def pytest_collection_modifyitems(items):
    """The order, and for pytest-xdist's `--dist loadgroup` what stays together."""
    here = Path(__file__).parent
    for item in items:
        name = item.path.relative_to(here)
        item.add_marker(pytest.mark.xdist_group(name.parts[0] if name.parts[0] in ONE_PROCESS else str(name)))
    items.sort(key=lambda item: ORDER.index(item.path.relative_to(here).parts[0]))
