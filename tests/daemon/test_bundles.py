"""Whole programs: an agent gets many small files with a few requests, and whatever goes wrong it gets all of them."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import update

from packrat_agent.config.load import load
from packrat_agent.upstream.connection import connected
from packrat_demo.build_deb import Deb, build_deb, write_deb
from packrat_server import admin
from packrat_server.client.uploader import Uploader
from packrat_server.store.blobs import blob_path
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.tables import package_files, sessions
from support.faults import flip_a_byte
from support.original_server import original_server
from support.relay import Relay
from support.stage import Server, Stage, relayed, stage

COUNT = 60
LARGE = "large"
BUNDLE = "PackageFile(bundle)"
NAMES = (*(f"p{number:02}" for number in range(COUNT)), LARGE)
SMALL_BYTES = sum(len(build_deb(Deb(name, "1", "all"))) for name in NAMES[:COUNT])


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server with small packages, and one that is too large for bundles."""
    with stage(tmp_path_factory.mktemp("stage"), None, suites=("bookworm",)) as made:
        debs = made.directory / "debs"
        debs.mkdir()
        large = (("/usr/share/large", os.urandom(200_000)),)
        paths = [write_deb(Deb(name, "1", "all", files=large if name == LARGE else ()), debs) for name in NAMES]

        async def upload(uploader: Uploader) -> None:
            for path in paths:
                for uri in await uploader.upload(path, ["bookworm"]):
                    await uploader.tag(uri, "dev")

        made.server.ask(upload)
        yield made


@pytest.fixture
def mirror(tmp_path: Path, filled: Stage) -> Stage:
    """A mirror without a file."""
    made = Stage(tmp_path, filled.server, filled.psk, None)
    made.write_config()
    return made


def published(mirror: Stage) -> set[str]:
    """Look at the files that Packages names, and give the packages."""
    pool = {path.name.partition("_")[0]: path for path in (mirror.repo / "pool").rglob("*.deb")}
    listed = {line.removeprefix("Package: ") for line in mirror.packages().splitlines() if line.startswith("Package: ")}
    mirror.agent("verify")
    assert set(pool) == listed
    return listed


def asked(relay: Relay) -> tuple[int, list[str]]:
    """Count the bundles, and give the files that were asked for alone."""
    alone = [line.rpartition("/")[2].partition("_")[0] for line in relay.asked if line.startswith("GET /files/")]
    return sum(BUNDLE in line and line.startswith("CALL") for line in relay.asked), sorted(alone)


def test_small_files_come_together_and_a_large_one_alone(mirror: Stage) -> None:
    with relayed(mirror) as relay:
        mirror.agent("sync")
        assert asked(relay) == (1, [LARGE])
        assert published(mirror) == set(NAMES)
        relay.reset()
        mirror.agent("sync")
        assert asked(relay) == (0, [])


@pytest.mark.parametrize("share", [0.95, 0.4])
def test_files_missing_from_a_bundle_that_breaks_off_come_alone(mirror: Stage, share: float) -> None:
    with relayed(mirror) as relay:
        relay.cut, relay.cuts = BUNDLE, [int(SMALL_BYTES * share)]
        mirror.agent("sync")
        bundles, alone = asked(relay)
    assert published(mirror) == set(NAMES)
    assert bundles == 1
    assert len(alone) == len(set(alone))
    assert LARGE in alone
    # The list of files at its beginning is part of the answer, too.
    assert COUNT * (1 - share) <= len(alone) - 1 <= COUNT * (1.3 - share)


def test_an_answer_that_breaks_off_before_it_begins_is_asked_for_once_more(mirror: Stage) -> None:
    with relayed(mirror) as relay:
        relay.cut, relay.cuts = BUNDLE, [0]
        mirror.agent("sync")
        assert asked(relay) == (2, [LARGE])
    assert published(mirror) == set(NAMES)


def test_a_file_that_is_damaged_on_the_server_fails_alone(filled: Stage, mirror: Stage) -> None:
    engine = open_database(filled.server.data)
    with reading(engine) as connection:
        row = connection.execute(package_files.select().where(package_files.c.package == "p07")).one()
    engine.dispose()
    blob = blob_path(filled.server.data, row.sha256)
    good = blob.read_bytes()
    flip_a_byte(blob)
    try:
        with relayed(mirror) as relay:
            done = mirror.agent("sync", expect=12)
            assert asked(relay) == (1, [LARGE, "p07"])
    finally:
        blob.write_bytes(good)
    assert f"its record says {row.sha256}" in done.stderr + done.stdout
    assert published(mirror) == set(NAMES) - {"p07"}
    mirror.agent("sync")
    assert published(mirror) == set(NAMES)


def test_a_file_larger_than_the_operator_allows_fails_alone(mirror: Stage) -> None:
    mirror.extra = {"max_file_size": "100k"}
    mirror.write_config()
    done = mirror.agent("sync", expect=12)
    assert "raise max_file_size" in done.stderr + done.stdout
    assert published(mirror) == set(NAMES) - {LARGE}


@pytest.mark.parametrize("step", ["download-part:20", "download-done:20", "download-renamed:20", "download-part:61"])
def test_an_agent_that_dies_in_a_bundle_finishes_when_it_is_started_again(mirror: Stage, step: str) -> None:
    died = mirror.sync({**os.environ, "PACKRAT_AGENT_DIE_AT": step})
    assert died.returncode == -signal.SIGKILL, died.stderr
    with relayed(mirror) as relay:
        mirror.agent("sync")
        bundles, alone = asked(relay)
    assert published(mirror) == set(NAMES)
    # What was complete is not asked for again, and what was begun is gone on with.
    assert bundles <= 1
    assert len(alone) <= 2
    assert not list((mirror.www / ".packrat-agent/staging").iterdir())


def test_two_repositories_with_the_same_files_get_each_once(filled: Stage, tmp_path: Path) -> None:
    engine = open_database(filled.server.data)
    admin.save_repo(engine, admin.NewRepo("apt-same", "apt", "dev", ("bookworm",), show_only_latest=False))
    psk = admin.save_mirror(engine, "both", ["apt-dev", "apt-same"], "Both")
    engine.dispose()
    assert psk is not None
    made = Stage(tmp_path, filled.server, psk, None)
    made.write_config()
    with relayed(made) as relay:
        made.config.write_text(made.config.read_text().replace("name: lab", "name: both"))
        made.agent("sync")
        bundles, alone = asked(relay)
    for repo in ("apt-dev", "apt-same"):
        assert len(list((made.www / repo / "pool").rglob("*.deb"))) == COUNT + 1
    assert (bundles, alone) == (1, [LARGE])


def test_a_session_that_has_ended_is_opened_again_for_a_bundle(filled: Stage, mirror: Stage) -> None:
    async def go() -> list[tuple[str, bytes]]:
        async with connected(load(mirror.config)) as server:
            engine = open_database(filled.server.data)
            with writing(engine) as connection:
                connection.execute(update(sessions).values(expires=1.0))
            engine.dispose()
            return await read(server.bundles.opener(bulk=True), uris(filled)[:3])

    assert [uri for uri, _ in asyncio.run(go())] == uris(filled)[:3]


def test_bundles_keep_to_the_rate_limit_of_downloads(filled: Stage, mirror: Stage) -> None:
    mirror.extra = {"download_rate_limit": "20k"}
    mirror.write_config()

    async def go() -> tuple[int, float]:
        async with connected(load(mirror.config)) as server:
            began = time.monotonic()
            found = await read(server.bundles.opener(bulk=True), uris(filled))
            return sum(len(content) for _, content in found), time.monotonic() - began

    size, took_s = asyncio.run(go())
    # A burst of a quarter of a second goes before.
    assert size == SMALL_BYTES
    assert took_s > size / 20_480 - 0.5


def test_old_servers_are_not_asked_for_bundles(tmp_path: Path) -> None:
    with original_server() as original:
        for number in range(12):
            deb = Deb(f"old{number}", "1", "all")
            original.upload(deb.file_name, build_deb(deb))
        mirror = Stage(tmp_path, Server(tmp_path, "", original.url), original.psk, None)
        mirror.write_config()
        mirror.agent("sync")
        assert original.count("bundle") == 0
        assert original.count("GET /files/") == 12


def test_ten_files_are_asked_for_one_by_one(mirror: Stage) -> None:
    mirror.agent("sync")
    gone = sorted((mirror.repo / "pool").rglob("p5*.deb"))
    assert len(gone) == 10
    for path in gone:
        path.unlink()
    with relayed(mirror) as relay:
        mirror.agent("sync")
        assert asked(relay) == (0, sorted(path.name.partition("_")[0] for path in gone))
    assert published(mirror) == set(NAMES)


def uris(filled: Stage) -> list[str]:
    engine = open_database(filled.server.data)
    with reading(engine) as connection:
        rows = connection.execute(package_files.select().where(package_files.c.package != LARGE)).all()
    engine.dispose()
    return [f"/api/v2/Package/PackageFile:{row.id}:" for row in rows]


async def read(opener: object, wanted: Sequence[str]) -> list[tuple[str, bytes]]:
    assert callable(opener)
    async with opener(wanted) as bundle:
        return [file async for file in bundle.files()]
