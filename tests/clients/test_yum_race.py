"""Clients that refresh all the time while metadata is published as fast as it goes."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.formats.interface import RenderRequest, RenderSettings
from packrat_agent.formats.yum.format import YumFormat
from packrat_agent.formats.yum.read_rpm import read_rpm
from packrat_agent.gpg.keyring import export_public, find_key
from packrat_agent.gpg.signers import Signers
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.entries import Entry
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.publish.signing import sign_tree
from packrat_agent.publish.writer import intend, publish
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.client_run import ClientRun
from packrat_demo.private_rpm import PrivateDnf, PrivateZypper
from support.keys import Key
from support.stage import DEADLINE_S
from support.web import web_server

RUNS = 6
PACKAGES = 60
VERSIONS = (DistroVersion("rhel9", "rhel", "9", "rpm"), DistroVersion("sles15", "sles", "15", "rpm"))
REPO = Repo("yum-dev", "", "yum-dev", "yum", VERSIONS)


class Chunks:
    """Compressed chunks in memory."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], bytes] = {}

    def get(self, coding: str, digest: str) -> bytes | None:
        """The chunk."""
        return self._kept.get((coding, digest))

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        """Keep the chunk."""
        self._kept[coding, digest] = chunk


def entries(directory: Path) -> list[Entry]:
    """The same packages for both distribution versions."""
    found = []
    for number in range(PACKAGES):
        path = write_rpm(Rpm(f"package-{number}", "1", "noarch"), directory)
        fragment = read_rpm(path)
        for version in VERSIONS:
            file = PackageFile(
                f"/{number}", fragment.name, version.name, "1-1", "rpm", "all", "", path.name, f"{number:064}"
            )
            found.append(Entry(file, YumFormat().place(REPO, file), fragment))
    return found


class Publisher:
    """Publishes the metadata below `root`, each time of other packages."""

    def __init__(self, root: Path, key: SigningKey, url: str) -> None:
        self._root, self._key = root, key
        self._settings = RenderSettings("", signed=True, public_url=url, public_key=export_public(key).armored)
        self._chunks = Chunks()
        self._facts: dict[str, Mapping[str, str]] = {}
        self._entries = entries(root.parent)
        self.count = 0

    def publish(self) -> None:
        """Publish once more."""
        left_out = self.count % PACKAGES
        chosen = [entry for number, entry in enumerate(self._entries) if number // 2 != left_out]
        request = RenderRequest(REPO, chosen, self._settings, datetime.now(UTC), self._chunks, self._facts)
        tree = sign_tree(request.repo, YumFormat().render(request), Signers(self._key), {}, self._chunks)
        self._facts = {publication.name: publication.facts for publication in tree.publications}
        publish(tree, (), intend(tree, ()), self._root, self._root / ".packrat-agent")
        self.count += 1


@contextmanager
def publisher(directory: Path, key: Key) -> Iterator[Publisher]:
    """Serve what a Publisher publishes."""
    root = directory / "www"
    (root / ".packrat-agent").mkdir(parents=True)
    with web_server(root) as url:
        made = Publisher(root, find_key(key.fingerprint, key.home, None, datetime.now(UTC)), url)
        (root / "repo-key").write_bytes(export_public(made._key).armored)
        made.publish()
        yield made


def race(made: Publisher, clients: Mapping[str, Callable[[], ClientRun]], runs: int) -> dict[str, list[ClientRun]]:
    """Publish all the time until each client has run that often; gives what they said."""
    said: dict[str, list[ClientRun]] = {name: [] for name in clients}

    def loop(name: str) -> None:
        while len(said[name]) < runs:
            said[name].append(clients[name]())

    threads = [threading.Thread(target=loop, args=(name,)) for name in clients]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        made.publish()
    for thread in threads:
        thread.join(DEADLINE_S)
    return said


def by_metalink(text: str) -> str:
    """The .repo file with the metalink in place of the mirrorlist."""
    return text.replace("mirrorlist=", "#mirrorlist=").replace("#metalink=", "metalink=")


def test_no_client_fails_during_constant_publishing(tmp_path: Path, key: Key) -> None:
    with publisher(tmp_path, key) as made:
        rhel = (tmp_path / "www/yum-dev/rhel/main/9/yum-dev.repo").read_text()
        sles = (tmp_path / "www/yum-dev/sles/main/15/yum-dev.repo").read_text()
        dnf = PrivateDnf(tmp_path / "dnf", rhel)
        metalink = PrivateDnf(tmp_path / "metalink", by_metalink(rhel))
        zypper = PrivateZypper(tmp_path / "zypper", sles)
        clients = {
            "dnf": lambda: dnf.run("makecache", "--refresh"),
            "dnf metalink": lambda: metalink.run("makecache", "--refresh"),
            "zypper": lambda: zypper.run("refresh", "--force"),
        }
        said = race(made, clients, RUNS)
        for runs in said.values():
            assert len(runs) == RUNS
            for run in runs:
                assert run.exit_code == 0, run.output
        # There was something to race against.
        assert made.count > RUNS
        generations = list((tmp_path / "www/yum-dev/rhel/main/9/generations").iterdir())
        assert len(generations) == made.count
