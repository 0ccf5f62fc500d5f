"""No client falls into the gap between two of its requests, whatever is published in it.

Two publications are recorded change by change. Each client is led through all that it can meet: any number of changes
between any two of its requests. Real clients meet the same trees: those in which the model of the client fails, and a
sample of the others; with PACKRAT_WINDOW=all (`make window`) all of them.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.keys import Key
from support.kinds import KINDS, Kind
from support.switching_web import SwitchingWeb, switching_web
from support.type_stage import TypeStage, type_stage
from support.window import Run, State, every_run, record
from support.window_clients import HIDDEN, REAL, Models

TWO_FILES = {
    "apt without by-hash": "has other bytes than its index says",
    "dnf": "the signature does not fit",
    "zypper": "the signature does not fit",
    "sums detached": "the signature does not fit",
}
"""Clients that read two files which must be of one publication, and fail if they are not; docs/ says so of each."""

WHOLE = (
    "apt",
    "dnf mirrorlist",
    "zypper mirrorlist",
    "pip",
    "skopeo",
    "skopeo apache",
    "skopeo policy",
    "skopeo lookaside",
    "sums",
)
"""Clients that never fail."""

SAMPLE = 2
"""Real runs of a client where its model fails, and as many where it does not."""

BY_KIND = {
    "apt": ("apt", "apt without by-hash"),
    "yum": ("dnf", "dnf mirrorlist", "zypper", "zypper mirrorlist"),
    "pypi": ("pip",),
    "docker": ("skopeo", "skopeo apache", "skopeo policy", "skopeo lookaside"),
    "json": ("sums", "sums detached"),
}


@dataclass(frozen=True, slots=True)
class Window:
    """A mirror, what two publications on end made of its tree, and where the clients see that."""

    made: TypeStage
    states: list[State]
    web: SwitchingWeb

    def runs(self, client: str) -> list[Run]:
        """All that a client can meet."""
        models = Models(self.made.lab.www / "repo-key.gpg")
        return list(every_run(models.all_of(self.made.kind.name)[client], self.states))


def publish_twice(made: TypeStage, directory: Path) -> list[State]:
    """Publish a first version; then record how a second one joins it, and how the first gives way to a third."""

    def put(version: str) -> list[str]:
        # What is withdrawn is the last of its architecture, which then has no directory of its own in the index.
        arch = made.kind.arches[-1 if version == "1.0" and made.kind.name == "yum" else 0]
        name, data = made.kind.build("hello", version, arch, version.encode())
        path = directory / name
        path.write_bytes(data)
        return made.lab.server.put(path, made.kind.suites if made.kind.name == "yum" else made.kind.uploaded_for)

    first = put("1.0")
    made.lab.agent("sync")
    put("2.0")
    states = record(made.lab, directory / "second")
    for uri in first:
        made.lab.server.act(uri, "fail")
    put("3.0")
    return states + record(made.lab, directory / "third")[1:]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: str(kind.name))
def window(request: pytest.FixtureRequest, key: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """The window of each repository type."""
    kind: Kind = request.param
    directory = tmp_path_factory.mktemp(kind.name)
    with switching_web(directory / "web") as web, type_stage(directory, key, kind) as made:
        made.lab.extra["public_url"] = web.url
        # Clients with a policy then ask the registry for signatures.
        made.lab.extra["docker_signature_api"] = "yes"
        made.lab.write_config()
        yield Window(made, publish_twice(made, directory), web)


def test_a_client_that_reads_one_file_first_never_fails(window: Window) -> None:
    for client in set(BY_KIND[window.made.kind.name]) & set(WHOLE):
        runs = window.runs(client)
        # Each of the three publications is met.
        assert len(runs) >= 3
        assert [run for run in runs if run.failure] == []


def test_a_client_of_two_files_fails_for_no_other_reason(window: Window) -> None:
    for client in set(BY_KIND[window.made.kind.name]) & TWO_FILES.keys():
        runs = window.runs(client)
        failed = [run for run in runs if run.failure]
        assert failed
        for run in failed:
            assert TWO_FILES[client] in str(run.failure), run
        # Who comes between two publications finds each of them whole.
        assert len([run for run in runs if not run.failure]) >= 3


def test_real_clients_meet_the_same(window: Window, tmp_path: Path) -> None:
    is_all = os.environ.get("PACKRAT_WINDOW") == "all"
    for client in [client for client in BY_KIND[window.made.kind.name] if client in REAL]:
        runs = window.runs(client)
        failed, good = [run for run in runs if run.failure], [run for run in runs if not run.failure]
        for run in [*failed, *good] if is_all else [*failed[:SAMPLE], *good[:SAMPLE]]:
            plan = run.latest(window.states)
            states = [state.without(HIDDEN.get(client, "")) for state in window.states]
            window.web.begin(states, plan)
            place = tmp_path / "place"
            place.mkdir()
            said = REAL[client](window.made.lab, window.web.url, place)
            assert (said is None) == (run.failure is None), f"{client} {run}\n{said}\n{window.web.log}"
            # It asked for all that its model asks for, in this order.
            assert window.web.plan == [], f"{client} {run}\n{window.web.log}"
            shutil.rmtree(place)
