"""What a request may name: a path, or the whole URL; and what a browser sees at the server's address."""

from collections.abc import Iterator

import pytest

from support.world import World, world

RECORD = "/api/v2/Package/PackageFile:1:"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("targets")) as made:
        yield made


@pytest.mark.parametrize("origin", ["http://packrat.example.com", "HTTPS://x:8888", "http://[::1]:80"])
def test_a_whole_url_is_answered_as_its_path_is(server: World, origin: str) -> None:
    assert server.call("GET", f"{origin}{RECORD}?unused").value == server.call("GET", RECORD).value
    for path in ("/files/hello_2.10-3_amd64.deb", "/files/hello%5F2.10-3_amd64.deb", "/health", "/", ""):
        answers = [server.ask("GET", target, server.auth("root")) for target in (origin + path, path or "/")]
        assert answers[0].status == answers[1].status == 200
        assert answers[0].data == answers[1].data
    # Only what stands first is the origin.
    assert server.call("GET", f"/{origin}{RECORD}").status == 400
    assert server.call("GET", f"{origin}{RECORD}", who=None).status == 403


def test_a_browser_is_told_what_this_is(server: World) -> None:
    answer = server.ask("GET", "/", {"Accept": "text/html"})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert "packrat server" in answer.data.decode()
    assert server.ask("HEAD", "/", {}).data == b""
    # Clients get what the original server says.
    assert server.call("GET", "/").value == {"message": 'Unable to Parse "/"'}
    assert server.ask("POST", "/", {}).value == {"message": "Invalid CInP Protocol Version"}
    assert server.ask("GET", "/api/v2/", {}).value == {"message": "Invalid CInP Protocol Version"}
