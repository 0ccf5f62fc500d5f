"""Downloads: ranges, validators, and who may have them."""

import hashlib
import http.client
from collections.abc import Callable, Iterator

import pytest

from packrat_demo.build_deb import Deb, build_deb
from packrat_server.api import files
from packrat_server.api.files import UPLOAD_LIMIT
from support.world import World, world

DEB = Deb("hello+x", "1.0~1", "amd64", files=(("/usr/share/big", b"0123456789" * 20_000),), compression="none")
DATA = build_deb(DEB)
PATH = "/files/hello+x_1.0~1_amd64.deb"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        handle = made.upload(DEB.file_name, DATA).value["uri"]
        made.call("CREATE", "/api/v2/Package/Package", {"name": DEB.name})
        arguments = {"file": handle, "justification": "", "provenance": "", "distroversion": "bookworm"}
        uri = made.call("CALL", "/api/v2/Package/PackageFile(create)", arguments).value
        made.call("CALL", f"{uri}(tag)", {"tag": "/api/v2/Attrib/Tag:dev:"})
        yield made


def test_a_file_has_its_length_and_its_hash_as_etag(server: World) -> None:
    answer = server.ask("GET", PATH, server.auth("lab"))
    assert (answer.status, answer.data) == (200, DATA)
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert answer.headers["ETag"] == f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-99", 0, 99), ("bytes=100-", 100, len(DATA) - 1), ("bytes=-7", len(DATA) - 7, len(DATA) - 1)],
)
def test_a_range_is_answered_with_that_range(server: World, asked: str, first: int, last: int) -> None:
    answer = server.ask("GET", PATH, {**server.auth("lab"), "Range": asked})
    assert (answer.status, answer.data) == (206, DATA[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(DATA)}"


def test_a_range_beyond_the_end_is_416(server: World) -> None:
    assert server.ask("GET", PATH, {**server.auth("lab"), "Range": f"bytes={len(DATA)}-"}).status == 416


@pytest.mark.parametrize("asked", ["bytes=9-5", "bytes=a-b", "bytes=0-1,5-6", "bytes=", "lines=1-2", "bytes 1-2", "x"])
def test_what_is_no_single_range_gets_the_whole_file(server: World, asked: str) -> None:
    answer = server.ask("GET", PATH, {**server.auth("lab"), "Range": asked})
    assert (answer.status, answer.data) == (200, DATA)


def test_a_range_of_other_bytes_gets_all_of_these(server: World) -> None:
    answer = server.ask("GET", PATH, {**server.auth("lab"), "Range": "bytes=10-", "If-Range": '"other"'})
    assert (answer.status, answer.data) == (200, DATA)


def test_known_bytes_are_not_sent_again(server: World) -> None:
    etag = server.ask("GET", PATH, server.auth("lab")).headers["ETag"]
    answer = server.ask("GET", PATH, {**server.auth("lab"), "If-None-Match": etag})
    assert (answer.status, answer.data) == (304, b"")


def test_head_tells_the_length_without_the_bytes(server: World) -> None:
    answer = server.ask("HEAD", PATH, server.auth("lab"))
    assert (answer.status, answer.data, answer.headers["Content-Length"]) == (200, b"", str(len(DATA)))


def test_a_file_is_only_for_those_who_may_see_it(server: World) -> None:
    # prod's repositories have no file tagged dev only.
    assert server.ask("GET", PATH, server.auth("prod")).status == 404
    assert server.ask("GET", PATH, {}).status == 403
    assert server.ask("GET", PATH, {"Auth-Id": "lab", "Auth-Token": "wrong"}).status == 401
    assert server.ask("GET", PATH, server.auth("manager")).status == 200


@pytest.mark.parametrize(
    "path", ["/files", "/files/", "/files/nope.deb", "/files/../packrat.db", "/files/%2e%2e/packrat.db"]
)
def test_only_package_files_are_served(server: World, path: str) -> None:
    assert server.ask("GET", path, server.auth("root")).status == 404


def test_an_upload_that_is_declared_too_large_is_refused_before_it_is_sent(server: World) -> None:
    for length, status in ((UPLOAD_LIMIT + 1, 413), (UPLOAD_LIMIT, None)):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=1 if status is None else 60)
        connection.putrequest("POST", "/api/upload")
        for name, value in {**server.auth("manager"), "Content-Length": str(length)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        if status is None:
            with pytest.raises(TimeoutError):
                connection.getresponse()
        else:
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("Connection")) == (413, "close")
            assert b"too large: more than 68719476736 bytes" in answer.read()
        connection.close()


def test_an_upload_of_unknown_length_ends_at_the_limit(server: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "UPLOAD_LIMIT", len(DATA))
    for sent, status in ((DATA, 202), (DATA + b"x", 413)):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
        connection.request("POST", "/api/upload", iter([sent]), server.auth("manager"), encode_chunked=True)
        assert connection.getresponse().status == status
        connection.close()
    assert list((server.data / "incoming").iterdir()) == []
