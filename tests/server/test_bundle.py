"""The action `bundle`: many small files in one answer, to whoever may download each of them, within bounds."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import insert, update

from packrat_core.errors import DiskError
from packrat_server.accounts.rights import Role
from packrat_server.accounts.sessions import Caller
from packrat_server.api.admission import CALLER_LIMIT, Admission
from packrat_server.api.bundle import ASKED_LIMIT, BUNDLE_BYTES, FILE_BYTES, Bundle, Stored, bundle
from packrat_server.api.call import Call
from packrat_server.api.context import ServerContext
from packrat_server.api.messages import CinpError
from packrat_server.api.serve_options import ServeOptions
from packrat_server.store.blobs import blob_path, read_whole
from packrat_server.store.database import open_database, writing
from packrat_server.store.tables import package_files, sessions
from support.world import Answer, World, world

FILES = "/api/v2/Package/PackageFile"
BUNDLE = f"{FILES}(bundle)"
CONTENT = b'{"a": 1}\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        yield made


def uri(number: object) -> str:
    return f"{FILES}:{number}:"


def ask(server: World, numbers: Sequence[object], who: str | None = "root", **headers: str) -> Answer:
    return server.call("CALL", BUNDLE, {"files": [uri(number) for number in numbers]}, who, **headers)


def unpack(answer: Answer) -> tuple[int, dict[str, bytes]]:
    """Give how many files an answer speaks of, and those that it has, by URI."""
    assert answer.status == 200, answer.data[:300]
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Length"] == str(len(answer.data))
    head, _, rest = answer.data.partition(b"\n")
    listed = json.loads(head)
    found = {}
    for name, size in listed["files"]:
        found[name], rest = rest[:size], rest[size:]
    assert rest == b""
    assert len(found) == len(listed["files"])
    return listed["looked_at"], found


def got(server: World, numbers: Sequence[object], who: str | None = "root") -> list[str]:
    looked_at, found = unpack(ask(server, numbers, who))
    assert looked_at == len(numbers)
    return list(found)


def add(server: World, name: str, content: bytes | None, sha256: str) -> int:
    """Store a file without tags; None: its record alone."""
    path = blob_path(server.data, sha256)
    path.parent.mkdir(exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    engine = open_database(server.data)
    with writing(engine) as connection:
        row = connection.execute(package_files.select().where(package_files.c.id == 1)).one()._asdict()
        del row["id"]
        changed = {**row, "file_name": name, "version": name, "sha256": sha256}
        made = connection.execute(insert(package_files).values(changed))
    engine.dispose()
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])


def test_files_come_in_the_order_in_which_they_were_asked_for(server: World) -> None:
    looked_at, found = unpack(ask(server, [5, 1, 3]))
    assert looked_at == 3
    assert found == {uri(5): CONTENT, uri(1): CONTENT, uri(3): CONTENT}
    assert list(found) == [uri(5), uri(1), uri(3)]


def test_a_mirror_gets_what_it_may_download_and_of_the_others_nothing(server: World) -> None:
    # 1 and 5 went all the way, 2 is in dev alone, 7 has no tag, 4711 does not exist.
    asked = [1, 2, 5, 7, 4711]
    assert got(server, asked, "prod") == [uri(1), uri(5)]
    assert got(server, asked, "lab") == [uri(1), uri(2), uri(5)]
    for who in ("root", "manager", "reader", "uploader", "promoter"):
        assert got(server, asked, who) == [uri(1), uri(2), uri(5), uri(7)]


@pytest.mark.parametrize("who", ["lab", "prod", "root"])
def test_a_bundle_holds_exactly_the_files_whose_records_the_caller_sees(server: World, who: str) -> None:
    everything = list(range(50))
    seen = [uri(number) for number in everything if server.call("GET", uri(number), None, who).status == 200]
    assert got(server, everything, who) == seen


def test_without_a_session_nobody_gets_anything(server: World) -> None:
    assert ask(server, [1], None).status == 403
    assert server.call("CALL", BUNDLE, {"files": [uri(1)]}, None, Auth_Id="lab", Auth_Token="made-up").status == 401


def test_a_session_that_has_ended_gets_nothing(server: World) -> None:
    assert got(server, [1], "lab") == [uri(1)]
    engine = open_database(server.data)
    with writing(engine) as connection:
        connection.execute(update(sessions).where(sessions.c.name == "lab").values(expires=1.0))
    engine.dispose()
    assert ask(server, [1], "lab").status == 401
    del server.tokens["lab"]


def test_large_missing_or_damaged_files_are_left_out(server: World) -> None:
    small = add(server, "small", b"x" * FILE_BYTES, "1" * 64)
    large = add(server, "large", b"x" * (FILE_BYTES + 1), "2" * 64)
    gone = add(server, "gone", None, "3" * 64)
    empty = add(server, "empty", b"", "4" * 64)
    strange = add(server, "strange", None, "5" * 64)
    pipe = add(server, "pipe", None, "6" * 64)
    blob_path(server.data, "5" * 64).mkdir()
    os.mkfifo(blob_path(server.data, "6" * 64))
    assert got(server, [small, large, gone, empty, strange, pipe, 1]) == [uri(small), uri(empty), uri(1)]


def test_an_answer_ends_once_it_is_large_and_says_where(server: World) -> None:
    count = BUNDLE_BYTES // FILE_BYTES
    numbers = [add(server, f"full-{n}", bytes([n]) * FILE_BYTES, f"{n:064x}") for n in range(count + 2)]
    looked_at, found = unpack(ask(server, [4711, *numbers]))
    assert looked_at == count + 1
    assert [content[:1] for content in found.values()] == [bytes([n]) for n in range(count)]
    assert got(server, numbers[count:]) == [uri(number) for number in numbers[count:]]


def test_each_file_comes_once_however_often_it_is_asked_for(server: World) -> None:
    assert got(server, [1] * ASKED_LIMIT) == [uri(1)]


@pytest.mark.parametrize("numbers", [(), ("007",), ("9" * 18,), ("9" * 17,), ("-1",), ("",), ("x", "1.0", "١")])
def test_numbers_of_no_file_are_left_out(server: World, numbers: Sequence[str]) -> None:
    assert got(server, numbers) == []


@pytest.mark.parametrize(
    "files",
    [
        [FILES],
        [f"{FILES}:1"],
        [f"{FILES}:1:2:"],
        ["/api/v2/Package/Package:hello:"],
        ["/files/hello_2.10-3_amd64.deb"],
        [1],
        [None],
        [[uri(1)]],
        [{}],
        uri(1),
        {"a": uri(1)},
        7,
        [uri(1), "x\0"],
        [uri(1)] * (ASKED_LIMIT + 1),
    ],
)
def test_malformed_questions_are_refused(server: World, files: Any) -> None:
    answer = server.call("CALL", BUNDLE, {"files": files}, "lab")
    assert answer.status == 400
    assert list(answer.value) == ["files"]


def test_other_verbs_and_shapes_are_refused(server: World) -> None:
    assert server.call("CALL", BUNDLE, {}, "lab").value == {"files": "Required Paramater"}
    for verb in ("GET", "LIST", "CREATE", "UPDATE", "DELETE"):
        assert server.call(verb, BUNDLE, None, "root").status == 400, verb
    assert server.call("HEAD", BUNDLE, None, "root").status == 400
    assert server.call("OPTIONS", BUNDLE, None, None).headers["Allow"] == "OPTIONS, DESCRIBE, CALL"


def test_the_action_is_described(server: World) -> None:
    assert BUNDLE in server.call("DESCRIBE", FILES, None, "lab").value["actions"]
    described = server.call("DESCRIBE", BUNDLE, None, "lab").value
    assert described["static"] is True
    assert described["return-type"] == {"type": "File"}
    assert described["paramaters"] == [{"name": "files", "type": "Model", "uri": FILES, "is_array": True}]


def test_the_answer_names_the_version_that_the_client_speaks(server: World) -> None:
    answer = ask(server, [1], CInP_Version="2.0")
    assert answer.headers["Cinp-Version"] == "2.0"
    assert answer.headers["Verb"] == "CALL"
    assert unpack(answer)[1] == {uri(1): CONTENT}


def test_the_most_files_that_a_mirror_asks_for_fit_into_a_question(server: World) -> None:
    assert got(server, [10**16 + number for number in range(ASKED_LIMIT)], "lab") == []


def test_a_public_server_gives_them_to_everybody(tmp_path_factory: pytest.TempPathFactory) -> None:
    with world(tmp_path_factory.mktemp("public"), options=ServeOptions(is_public=True)) as public:
        assert got(public, [1, 2, 7], None) == [uri(1), uri(2), uri(7)]
        # A mirror that has a session sees no more than on any other server.
        assert got(public, [1, 2, 7], "prod") == [uri(1)]


def test_many_at_once_are_all_answered(server: World) -> None:
    with ThreadPoolExecutor(32) as pool:
        answers = pool.map(lambda _: got(server, [1, 5], "root"), range(CALLER_LIMIT))
        assert all(answer == [uri(1), uri(5)] for answer in answers)


def called(server: World, token: str | None = None) -> Call:
    """A call of the mirror lab, as it comes to the action."""
    context = SimpleNamespace(
        engine=open_database(server.data), data_dir=server.data, admission=Admission(), is_on_network=False
    )
    lab = Caller("lab", Role.MIRROR)
    return Call(cast(ServerContext, context), lab, token, "", arguments={"files": ["1", "7"]})


def test_a_session_that_ends_while_its_question_waits_gets_nothing(server: World) -> None:
    token = server.auth("lab")["Auth-Token"]
    assert asyncio.run(bundle(called(server, token))).status_code == 200
    with pytest.raises(CinpError) as caught:
        asyncio.run(bundle(called(server, "ended")))
    assert caught.value.status == 401


async def send_all(files: Sequence[Stored], gone: Path | None = None) -> tuple[int, list[bytes]]:
    """Send a bundle, and have a file go away after the first part; gives the length that was told, and the parts."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if gone is not None and len(sent) == 2:
            gone.unlink()

    async def receive() -> Any:
        raise AssertionError("the question was read before")

    context = SimpleNamespace(admission=Admission(), is_on_network=False)
    call = Call(cast(ServerContext, context), Caller("lab", Role.MIRROR), None, "")
    # The server logs which file it was.
    with nullcontext() if gone is None else pytest.raises(DiskError, match=f"{gone} has changed"):
        await Bundle(call, len(files), files)({"type": "http"}, receive, send)
    start, *parts = sent
    assert start["type"] == "http.response.start"
    is_whole = [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False]
    assert is_whole is (gone is None)
    return int(dict(start["headers"])[b"Content-Length"]), [part["body"] for part in parts]


def stored(directory: Path, sizes: Sequence[int]) -> list[Stored]:
    files = []
    for number, size in enumerate(sizes):
        path = directory / str(number)
        path.write_bytes(bytes([number % 256]) * size)
        files.append(Stored(str(number), str(path), size))
    return files


@pytest.mark.parametrize(
    "sizes", [(), (0,), (FILE_BYTES,) * 3, (1, FILE_BYTES, 1), (1000,) * 300, (0, FILE_BYTES // 2, FILE_BYTES // 2, 1)]
)
def test_no_more_is_held_than_of_a_single_file(tmp_path: Path, sizes: Sequence[int]) -> None:
    length, parts = asyncio.run(send_all(stored(tmp_path, sizes)))
    head, _, first = parts[0].partition(b"\n")
    assert json.loads(head)["files"] == [[uri(number), size] for number, size in enumerate(sizes)]
    assert max(len(first), *(len(part) for part in parts[1:]), 0) <= FILE_BYTES
    assert first + b"".join(parts[1:]) == b"".join(bytes([n % 256]) * size for n, size in enumerate(sizes))
    assert length == sum(len(part) for part in parts)


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_a_file_of_another_size_is_not_read_and_what_is_not_in_memory_is_left_to_a_thread(
    tmp_path: Path, is_in_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = stored(tmp_path, (5000,))
    os.mkfifo(tmp_path / "pipe")
    if not is_in_memory:

        def wait_for_disk(*_: object) -> int:
            raise BlockingIOError

        monkeypatch.setattr(os, "preadv", wait_for_disk)
    # Some filesystems can't tell what is in memory.
    found = read_whole(file.path, 5000, waits=False)
    assert found in ((b"\0" * 5000, None) if is_in_memory else (None,))
    assert read_whole(file.path, 5000) == b"\0" * 5000
    for waits in (True, False):
        for name, size in (("0", 4999), ("0", 5001), ("pipe", 1), ("nowhere", 1), (".", 1)):
            assert read_whole(str(tmp_path / name), size, waits=waits) is None
    length, parts = asyncio.run(send_all([file] * 3))
    assert b"".join(parts).endswith(b"\0" * 15000) and length == sum(len(part) for part in parts)


def test_the_answer_breaks_off_if_a_file_disappears_while_it_is_sent(tmp_path: Path) -> None:
    files = stored(tmp_path, (FILE_BYTES, FILE_BYTES))
    length, parts = asyncio.run(send_all(files, gone=Path(files[1].path)))
    assert len(parts) == 1
    assert length - len(parts[0]) == FILE_BYTES
