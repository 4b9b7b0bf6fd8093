"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast examples are drawn and run says nothing about the code, only about how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

ORDER = ("e2e", "scenarios", "host", "parity", "unit")  # the longest first, so that the processes end together
ONE_PROCESS = ("e2e", "scenarios")  # folders that share a server; of all others the tests of a file stay together


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: ORDER.index(item.path.relative_to(Path(__file__).parent).parts[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Which tests one process gets together."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return next((folder for folder in ONE_PROCESS if f"tests/{folder}/" in file), file)

    return Together(config, log)
