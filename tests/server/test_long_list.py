"""A list of very many files costs little memory, and is the same text as a short one's."""

import asyncio
import json
import tracemalloc
from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from packrat_server import admin
from packrat_server.accounts.sessions import PUBLIC
from packrat_server.admin.new_server import init
from packrat_server.api.list_response import ListResponse
from packrat_server.api.records import ids_of, read_page
from packrat_server.promotion.wanted_files import kept_files, wanted_files
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.tables import package_file_tags, package_files, packages
from support.world import World, world

COUNT = 20_000
PACKAGE_FILE = "/api/v2/Package/PackageFile"
NOW = datetime.now(UTC)


def fill(data: Path, kind: str, suite: str, first: int, count: int) -> None:
    """Two versions each of many packages, with long texts beside them."""
    stamps = {"created": NOW, "updated": NOW}
    row = {"distro_version": suite, "type": kind, "arch": "x86_64", "justification": "because " * 100, **stamps}
    row |= {"provenance": "", "sha256": "0" * 64, "size": 1, "created_by": "root"}
    numbers = range(first, first + count)
    engine = open_database(data)
    with writing(engine) as connection:
        counts = {"deprocated_count": 1, "failed_count": 1, **stamps}
        names = dict.fromkeys(f"many{number // 2}" for number in numbers)
        connection.execute(insert(packages), [{"name": name, **counts} for name in names])
        made = [
            {"id": n, "package": f"many{n // 2}", "version": f"1.{n % 2}", "file_name": f"many-{n}", **row}
            for n in numbers
        ]
        connection.execute(insert(package_files), made)
        tagged = [{"package_file": number, "tag": "dev", "by": "root", "at": NOW} for number in numbers]
        connection.execute(insert(package_file_tags), tagged)
    engine.dispose()


@pytest.mark.parametrize("newest_only", [False, True])
def test_wanted_files_are_found_in_little_memory(tmp_path: Path, newest_only: bool) -> None:
    init(tmp_path / "server")
    engine = open_database(tmp_path / "server")
    admin.save_repo(engine, admin.NewRepo("apt-dev", "apt", "dev", ("bookworm",), show_only_latest=newest_only))
    fill(tmp_path / "server", "deb", "bookworm", 2, COUNT)
    tracemalloc.start()
    try:
        with reading(engine) as connection:
            wanted = wanted_files(connection, "apt-dev", None)
            kept = kept_files(connection, "apt-dev", None)
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        engine.dispose()
    assert list(wanted) == list(kept) == list(range(3 if newest_only else 2, COUNT + 2, 2 if newest_only else 1))
    # 20,000 records are more than 20 MB.
    assert peak < 8_000_000


@pytest.mark.parametrize("count", [1, 2, 1999, 2000, 2001, 4000, 4321])
@pytest.mark.parametrize("are_numbers", [False, True])
@pytest.mark.parametrize(("before", "after"), [("/x:", ":"), ("", ""), ('"ü', "\\")])
def test_a_list_in_portions_is_the_text_of_the_whole(count: int, are_numbers: bool, before: str, after: str) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    ids = array("q", range(count)) if are_numbers else [*range(count - 1), 'a"ü']
    answer = ListResponse(ids, before, after, {"Total": "7"})
    asyncio.run(answer({"type": "http"}, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    assert body == json.dumps([f"{before}{number}{after}" for number in ids]).encode()
    lengths = [value for name, value in sent[0]["headers"] if name.lower() == b"content-length"]
    assert lengths == [str(len(body)).encode()]
    assert max(len(message.get("body", b"")) for message in sent) < 50_000


def test_a_long_list_comes_whole(tmp_path: Path) -> None:
    with world(tmp_path) as server:
        fill(server.data, "resource", "resource", 1000, 2500)
        everything = listed(server)
        assert (len(everything), len(set(everything))) == (2545, 2545)
        assert listed(server, Position="1500") == everything[1500:]
        assert listed(server, Count="1001") == everything[:1001]
        ids = listed(server, Id_Only="True")
        assert [f"{PACKAGE_FILE}:{number}:" for number in ids] == everything


@pytest.mark.parametrize("who", ["root", "lab"])
def test_pages_are_parts_of_the_list_and_know_its_length(
    tmp_path: Path, new_database: Callable[[], str | None], who: str
) -> None:
    with world(tmp_path, new_database()) as server:
        for model in ("Attrib/Tag", "Package/Package", "Package/PackageFile", "Package/PackageFileTag"):
            target = f"/api/v2/{model}"
            everything = server.call("LIST", target, None, who, Count="100000").value
            total = len(everything)
            assert total > 2
            for position in (0, 1, total - 1, total, total + 1, 10**30):
                for count in (0, 1, 2, total - 1, total, total + 1):
                    page = server.call("LIST", target, None, who, Count=str(count), Position=str(position))
                    assert page.value == everything[position : position + count]
                    told = {name: page.headers[name] for name in ("Count", "Position", "Total")}
                    assert told == {"Count": str(len(page.value)), "Position": str(position), "Total": str(total)}


def test_a_page_of_a_long_list_does_not_read_all_of_it(tmp_path: Path) -> None:
    init(tmp_path / "server")
    fill(tmp_path / "server", "resource", "resource", 2, COUNT)
    engine = open_database(tmp_path / "server")
    query = ids_of(PUBLIC, "Package/PackageFile")
    with reading(engine) as connection:
        # What is remembered of a query counts once.
        read_page(connection, query, 0, 1)
        tracemalloc.start()
        try:
            page, total = read_page(connection, query, COUNT // 2, 10)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    engine.dispose()
    assert (len(page), total) == (10, COUNT)
    # 20,000 numbers are more than 700 kB.
    assert peak < 200_000


def listed(server: World, **headers: str) -> Any:
    answer = server.call("LIST", PACKAGE_FILE, None, "manager", **{"Count": "100000", **headers})
    assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(answer.data)))
    assert answer.headers["Count"] == str(len(answer.value))
    return answer.value
