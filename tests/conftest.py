"""Fixtures that tests of several folders share."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from support.keys import Key, new_key
from support.postgres import Cluster, cluster
from support.run_order import put_long_first
from support.secrets_once import remember_secrets
from support.slow_tests import SlowTests
from support.stage import Stage, stage

# Each of the hundreds of processes that tests start would compile the whole source anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Hypothesis gives an example 200 ms, which a busy machine may take for any. pytest-timeout ends what hangs.
_ANY_LOAD = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time, so that a failure tells of a change; `--hypothesis-profile search` tries others.
settings.register_profile("same examples", _ANY_LOAD, derandomize=True)
settings.register_profile("search", _ANY_LOAD)
settings.load_profile("same examples")


def pytest_sessionstart(session: pytest.Session) -> None:
    # A shell starts a background job with Ctrl-C ignored, and programs that tests start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    remember_secrets()
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    # A worker has a reporter, too, which nobody reads.
    if reporter is not None and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(SlowTests(reporter))


@pytest.fixture(autouse=True)
def _log_of_its_own() -> None:
    """Forget the log that a command set up in this process for an earlier test, with its level and its stderr."""
    structlog.reset_defaults()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    put_long_first(items)


@pytest.fixture(scope="session")
def key() -> Iterator[Key]:
    """A signing key."""
    with new_key("Test Mirror <mirror@example.com>") as made:
        yield made


@pytest.fixture(scope="session")
def rsa_key() -> Iterator[Key]:
    """A mirror's key as the documentation advises for yum."""
    with new_key("Yum Mirror <mirror@example.com>", "rsa3072") as made:
        yield made


@pytest.fixture(scope="session")
def vendor_key() -> Iterator[Key]:
    """The key of somebody who signs packages before they are uploaded."""
    with new_key("Vendor <vendor@example.com>", "rsa3072") as made:
        yield made


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server; each test makes its own database in it."""
    with cluster() as made:
        yield made


@pytest.fixture
def lab(tmp_path: Path, key: Key) -> Iterator[Stage]:
    """A signed mirror of a new server, nothing in it yet."""
    with stage(tmp_path, key) as set_up:
        yield set_up
