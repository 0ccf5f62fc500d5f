"""The built-in web server: conditional and range requests, listings, and nothing from outside the root."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from packrat_agent.formats.docker.serving import READ_ONLY
from packrat_agent.web import static
from packrat_agent.web.static import serving
from packrat_core.errors import ConfigError
from support.site import DATA, MTIME_S, Site

FILE = "/apt-dev/pool/g++_1~2_amd64.deb"


def test_a_file_comes_whole_with_what_caches_need(site: Site) -> None:
    answer = site.ask(FILE)
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["content-length"] == "1024"
    assert answer.headers["content-type"] == "application/vnd.debian.binary-package"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["last-modified"] == formatdate(MTIME_S, usegmt=True)
    assert re.fullmatch(r'"[0-9a-f-]+"', answer.headers["etag"])
    assert "content-range" not in answer.headers
    assert "content-encoding" not in answer.headers


def test_head_is_get_without_the_body(site: Site) -> None:
    for headers in ({}, {"If_None_Match": "*"}):
        get, head = site.ask(FILE, **headers), site.ask(FILE, "HEAD", **headers)
        assert (head.status, head.body) == (get.status, b"")
        assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    # Of a range, only GET knows.
    for asked in ("bytes=0-9", "bytes=9999-"):
        head = site.ask(FILE, "HEAD", Range=asked)
        assert (head.status, head.headers["content-length"], head.headers.get("content-range")) == (200, "1024", None)
    assert site.ask("/apt-dev/", "HEAD").status == 200
    assert site.ask("/missing", "HEAD").status == 404


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 1024),
        ("bytes=100-199", 100, 200),
        ("bytes=1023-", 1023, 1024),
        ("bytes=1000-99999999", 1000, 1024),
        ("bytes=-1", 1023, 1024),
        ("bytes=-100", 924, 1024),
        ("bytes=-99999999", 0, 1024),
    ],
)
def test_a_range_is_sent_alone(site: Site, asked: str, start: int, end: int) -> None:
    answer = site.ask(FILE, Range=asked)
    assert (answer.status, answer.body) == (206, DATA[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/1024"
    assert answer.headers["content-length"] == str(end - start)


def test_a_listing_has_a_bounded_number_of_names(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "LISTED_LIMIT", 5)
    many = site.root / "many"
    for name in ("z", "y"):
        (many / name).mkdir(parents=True)
    for number in range(5):
        (many / f"file-{number}").touch()
    os.mkfifo(many / "a-pipe")
    (many / "b-link").symlink_to(site.root.parent / "outside")
    (many / "c-link").symlink_to("file-4")
    shown = site.ask("/many/").body.decode()
    # Directories first; a pipe, and a link that leads out, count as names and are not shown.
    assert re.findall(r'href="\./([^"]+)"', shown) == ["y/", "z/", "c-link"]
    assert "5 more are not shown." in shown
    (many / "b-link").unlink()
    assert "4 more are not shown." in site.ask("/many/").body.decode()
    assert "not shown" not in site.ask("/apt-dev/").body.decode()


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=9999999999-99999999999", "bytes=-0"])
def test_a_range_beyond_the_file_is_416(site: Site, asked: str) -> None:
    answer = site.ask(FILE, Range=asked)
    assert answer.status == 416
    # By these, apt knows of which state of the file it has all.
    whole = site.ask(FILE).headers
    assert [answer.headers[name] for name in ("last-modified", "etag")] == [whole["last-modified"], whole["etag"]]
    assert answer.headers["content-range"] == "bytes */1024"
    assert DATA not in answer.body


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=5-2",
        "bytes=-",
        "bytes=a-b",
        "lines=0-9",
        "bytes=0-9,20-29",
        "bytes 0-9",
        "bytes=" + "9" * 50 + "-",
        "",
        "x",
    ],
)
def test_a_range_that_is_none_is_ignored(site: Site, asked: str) -> None:
    assert site.ask(FILE, Range=asked).body == DATA


def test_no_range_of_an_empty_file_can_be_had(site: Site) -> None:
    (site.root / "empty").touch()
    assert site.ask("/empty").body == b""
    assert site.ask("/empty", Range="bytes=0-").status == 416
    assert site.ask("/empty", Range="bytes=-5").status == 416


def test_if_range_gives_the_part_only_of_the_very_bytes_that_the_client_has(site: Site) -> None:
    headers = site.ask(FILE).headers
    for validator in (headers["etag"], headers["last-modified"]):
        assert site.ask(FILE, Range="bytes=0-9", If_Range=validator).status == 206
    for other in ('"other"', f"W/{headers['etag']}", formatdate(MTIME_S - 1, usegmt=True), "nonsense", ""):
        answer = site.ask(FILE, Range="bytes=0-9", If_Range=other)
        assert (answer.status, answer.body) == (200, DATA)


def test_another_content_has_another_etag_though_size_and_second_are_the_same(site: Site) -> None:
    before = site.ask(FILE).headers
    replacement = site.root / "new"
    replacement.write_bytes(DATA[::-1])
    os.utime(replacement, (MTIME_S, MTIME_S))
    replacement.rename(site.root / FILE.strip("/"))
    after = site.ask(FILE)
    assert after.headers["etag"] != before["etag"]
    assert site.ask(FILE, If_None_Match=before["etag"]).status == 200
    assert site.ask(FILE, Range="bytes=0-9", If_Range=before["etag"]).body == after.body


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '"x",{} , "y"', "*"])
def test_a_matching_etag_gives_304(site: Site, form: str) -> None:
    answer = site.ask(FILE, If_None_Match=form.format(site.ask(FILE).headers["etag"]))
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == site.ask(FILE).headers["etag"]


@pytest.mark.parametrize(
    ("since", "status"),
    [
        (formatdate(MTIME_S, usegmt=True), 304),
        (formatdate(MTIME_S + 1, usegmt=True), 304),
        (formatdate(MTIME_S - 1, usegmt=True), 200),
        ("Tuesday, 14-Nov-23 22:13:20 GMT", 304),
        ("yesterday", 200),
        ("Tue, 99 Nov 2023 22:13:20 GMT", 200),
        ("Tue, 14 Nov 99999 22:13:20 GMT", 200),
        ("", 200),
    ],
)
def test_an_unmodified_file_gives_304(site: Site, since: str, status: int) -> None:
    assert site.ask(FILE, If_Modified_Since=since).status == status


def test_the_etag_counts_more_than_the_date(site: Site) -> None:
    since = formatdate(MTIME_S, usegmt=True)
    assert site.ask(FILE, If_None_Match='"other"', If_Modified_Since=since).status == 200


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Packages.gz", "application/gzip"),
        ("Packages.xz", "application/x-xz"),
        ("Packages", "text/plain; charset=utf-8"),
        ("InRelease", "text/plain; charset=utf-8"),
        ("Release.gpg", "application/pgp-signature"),
        ("repo-key", "application/pgp-keys"),
        ("repo-key.gpg", "application/pgp-keys"),
        ("x.rpm", "application/x-rpm"),
        ("unknown", "application/octet-stream"),
    ],
)
def test_each_file_has_its_type_and_no_encoding(site: Site, name: str, kind: str) -> None:
    (site.root / name).write_bytes(b"x")
    answer = site.ask(f"/{name}")
    assert answer.headers["content-type"] == kind
    assert "content-encoding" not in answer.headers


def test_a_directory_lists_what_is_in_it_directories_first(site: Site) -> None:
    (site.root / "apt-dev" / "a <b>&'\"?#.txt").write_text("odd")
    (site.root / "apt-dev" / "zz").mkdir()
    (site.root / "apt-dev" / ".hidden").write_text("x")
    answer = site.ask("/apt-dev/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = answer.body.decode()
    links = re.findall(r'<a href="([^"]*)"', page)
    assert links == ["../", "./pool/", "./zz/", "./a%20%3Cb%3E%26%27%22%3F%23.txt"]
    assert "a &lt;b&gt;&amp;&#x27;&quot;?#.txt" in page
    assert "<b>" not in page
    assert site.ask("/apt-dev/" + links[3].removeprefix("./")).body == b"odd"
    assert re.findall(r'<a href="([^"]*)"', site.ask("/").body.decode()) == ["./apt-dev/"]


@pytest.mark.parametrize("moment_s", [13_569_465_600, -60])
def test_a_file_of_any_time_is_served_and_listed(site: Site, moment_s: int) -> None:
    os.utime(site.root / FILE.strip("/"), (moment_s, moment_s))
    assert site.ask(FILE).body == DATA
    assert site.ask("/apt-dev/pool/").status == 200


def test_a_time_that_no_date_can_have_is_the_last_one_or_the_first() -> None:
    def status(moment_s: int) -> os.stat_result:
        times = {"st_mtime": float(moment_s), "st_mtime_ns": moment_s * 10**9}
        return os.stat_result((0o100644, 1, 1, 1, 0, 0, 1, 0, moment_s, 0), times)

    shown = {s: static._headers(Path("a"), status(s))["Last-Modified"] for s in (2**40, 2**63 - 1, -(2**40), 0)}
    assert shown[2**40] == shown[2**63 - 1] == "Fri, 31 Dec 9999 23:59:59 GMT"
    assert shown[-(2**40)] == shown[0] == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_a_name_that_can_not_be_shown_hides_no_other(site: Site) -> None:
    for name in (b"\xff.deb", b"\x1b[2J.deb", b"two\nlines.deb", "\u202egpj.deb".encode()):
        Path(os.fsdecode(os.fsencode(site.root / "apt-dev") + b"/" + name)).write_text("x")
    (site.root / "apt-dev" / "plain.deb").write_text("x")
    answer = site.ask("/apt-dev/")
    assert answer.status == 200
    assert re.findall(r'<a href="([^"]*)"', answer.body.decode()) == ["../", "./pool/", "./plain.deb"]


def test_a_link_that_takes_the_place_of_a_directory_meanwhile_is_not_followed(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("secret")
    (site.root / "apt-dev" / "file").write_text("shown")
    files = static._Files(site.root)
    found = files._find("/apt-dev/file")
    assert found is not None
    with files._open(found) as opened:
        assert opened.read() == b"shown"
    (site.root / "apt-dev").rename(site.root / "aside")
    (site.root / "apt-dev").symlink_to(secret)
    with pytest.raises(OSError, match="apt-dev"):
        files._open(found)


def test_every_link_of_a_listing_leads_to_its_file(site: Site) -> None:
    (link,) = re.findall(r'<a href="\./([^"]*)"', site.ask("/apt-dev/pool/").body.decode())
    assert site.ask(f"/apt-dev/pool/{link}").body == DATA


def test_a_directory_without_its_slash_leads_to_it_and_an_index_stands_for_the_listing(site: Site) -> None:
    for target in ("/apt-dev", "/apt-dev/pool", "//apt-dev"):
        answer = site.ask(target)
        assert answer.status == 301
        assert answer.headers["location"] == f"./{target.rpartition('/')[2]}/"
    (site.root / "http:x").mkdir()
    assert site.ask("/http:x").headers["location"] == "./http:x/"
    (site.root / "index.html").write_text("hello")
    assert site.ask("/").body == b"hello"
    assert site.ask("/").headers["content-type"] == "text/html; charset=utf-8"
    assert site.ask(f"{FILE}/").status == 404


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/missing",
            "/.packrat-agent/",
            "/.packrat-agent/lock",
            "/%2Epackrat-agent/lock",
            "/apt-dev/../.packrat-agent/lock",
        ),
        *(
            "/../outside",
            "/apt-dev/../../outside",
            "/%2e%2e/outside",
            "/..%2foutside",
            "/apt-dev/%2e%2e/%2e%2e/outside",
        ),
        *("/apt-dev%2fpool", "//../outside", "/\\..\\outside", "/%00", "/apt-dev/%00", "/%ff", "/%", "/" + "x" * 300),
        "/" + "x/" * 2000,
    ],
)
def test_nothing_hidden_and_nothing_outside_is_served(site: Site, target: str) -> None:
    answer = site.ask(target)
    assert answer.status == 404
    assert b"secret" not in answer.body


def test_no_link_leads_out_or_to_what_is_hidden(site: Site) -> None:
    (site.root / "out").symlink_to("../outside")
    (site.root / "absolute").symlink_to("/etc/passwd")
    (site.root / "parent").symlink_to("..")
    (site.root / "hidden").symlink_to(".packrat-agent")
    (site.root / "circle").symlink_to("circle")
    (site.root / "apt-dev" / "index.html").symlink_to("../../outside")
    for target in ("/out", "/absolute", "/parent/", "/parent/outside", "/hidden/", "/hidden/lock", "/circle"):
        assert site.ask(target).status == 404, target
    assert b"secret" not in site.ask("/apt-dev/").body
    assert re.findall(r'<a href="([^"]*)"', site.ask("/").body.decode()) == ["./apt-dev/"]


def test_a_link_inside_is_followed(site: Site) -> None:
    (site.root / "latest").symlink_to("apt-dev/pool")
    assert site.ask("/latest/g%2B%2B_1~2_amd64.deb").body == DATA
    assert "./latest/" in site.ask("/").body.decode()


def test_pipes_and_sockets_are_not_served(site: Site) -> None:
    os.mkfifo(site.root / "pipe")
    assert site.ask("/pipe").status == 404
    assert "pipe" not in site.ask("/").body.decode()


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_nothing_but_reading_is_allowed(site: Site, verb: str) -> None:
    answer = site.ask(FILE, verb, Content_Length="0")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET,HEAD"
    assert (site.root / FILE.strip("/")).read_bytes() == DATA
    pushed = site.ask("/v2/docker-dev/web/blobs/uploads/?mount=x", verb, Content_Length="0")
    assert (pushed.status, pushed.headers["allow"], pushed.body) == (405, "GET,HEAD", READ_ONLY)
    assert pushed.headers["content-type"] == "application/json"


def test_a_query_is_ignored(site: Site) -> None:
    assert site.ask(f"{FILE}?x=/../y").body == DATA


def test_a_port_in_use_and_a_missing_root_are_reported(site: Site, tmp_path: Path) -> None:
    async def serve(root: Path, port: int) -> None:
        async with serving(root, "127.0.0.1", port):
            pass

    with pytest.raises(ConfigError, match=f":{site.port} can't be listened on: the port is in use"):
        asyncio.run(serve(site.root, site.port))
    with pytest.raises(ConfigError, match="is not a directory; `packrat-agent sync` makes"):
        asyncio.run(serve(tmp_path / "missing", 0))


def test_a_client_that_goes_away_harms_nobody(site: Site) -> None:
    (site.root / "large").write_bytes(bytes(20_000_000))
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(1000)
    assert site.ask(FILE).status == 200


@contextmanager
def served_without_privileges(root: Path) -> Iterator[Site]:
    rights = "-dac_override,-dac_read_search"
    limit = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.geteuid() == 0 else []
    command = [sys.executable, "-m", "packrat_agent.cli", "serve", "--root", str(root), "--listen", "127.0.0.1:0"]
    with subprocess.Popen([*limit, *command], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            match = re.search(r"url=http://127.0.0.1:(\d+)/", process.stderr.readline())
            assert match is not None
            yield Site(root, int(match[1]))
        finally:
            process.terminate()
            (root / "apt-dev").chmod(0o755)


def test_a_directory_that_the_server_may_not_read_is_forbidden(site: Site) -> None:
    (site.root / "apt-dev").chmod(0)
    with served_without_privileges(site.root) as served:
        assert served.ask("/apt-dev/").status == 403


def test_a_directory_that_the_server_may_only_search_gives_its_files_and_no_list(site: Site) -> None:
    (site.root / "apt-dev").chmod(0o111)
    with served_without_privileges(site.root) as served:
        assert served.ask(FILE).body == DATA
        assert served.ask("/apt-dev/").status == 403


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01SECRET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nno header SECRET\r\n\r\n"]
)
def test_bytes_that_are_not_http_are_logged_in_one_line_without_them(
    site: Site, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as logged, socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        connection.sendall(sent)
        assert connection.recv(65536).startswith(b"HTTP/1.0 400 ")
    assert [(line["event"], line["address"]) for line in logged] == [("malformed", "127.0.0.1")]
    assert "SECRET" not in str(logged)
    assert not caplog.records
