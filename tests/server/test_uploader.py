"""What a person is told whose file the server does not take."""

import asyncio
import gzip
import hashlib
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from packrat_core.cinp.refusals import SessionEnded
from packrat_core.cinp.session import Timeouts
from packrat_core.errors import ServerRefused
from packrat_demo.build_deb import Deb, write_deb
from packrat_demo.build_image import Image, build_oci, tar
from packrat_server.cli.main import main
from packrat_server.client.file_uploads import NewFile, send_ahead
from packrat_server.client.uploader import Uploader, signed_in
from packrat_server.store.blobs import blob_path
from support.hung_disk import hung_disk
from support.relay import relay_to
from support.stage import Server, packrat_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with packrat_server(tmp_path_factory.mktemp("uploads")) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("odd name_1.0.txt", "its name may have"),
        (".hidden_1.0.txt", "its name may have"),
        ("a%20b_1.0.txt", "its name may have"),
        ("a\nb_1.0.txt", "its name may have"),
        ("noversion.txt", "<package>_<version>.<ending>"),
    ],
)
def test_a_name_that_will_not_do_is_reported_with_what_would(
    server: Server, tmp_path: Path, name: str, reason: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"anything")
    with pytest.raises(ServerRefused, match=f"^it is not taken: .*{re.escape(reason)}"):
        server.put(path, ("resource",))


def test_a_file_that_is_there_already_or_fits_many_places_is_reported_by_name(server: Server, tmp_path: Path) -> None:
    path = write_deb(Deb("hello", "1.0", "amd64"), tmp_path)
    with pytest.raises(ServerRefused, match=r"^it is not taken: it can go to .*bookworm.* --distro"):
        server.put(path, ())
    server.put(path)
    other = tmp_path / "renamed_1.0_amd64.deb"
    other.write_bytes(path.read_bytes())
    with pytest.raises(ServerRefused, match=r"^it is not taken: the server has a file of this"):
        server.put(other)
    with pytest.raises(ServerRefused, match=r"^it is not taken: it can't go to rhel8; --distro may"):
        server.put(other, ("rhel8",))


@pytest.mark.parametrize("name", ["web_1.0.tar.gz", "web_1.0.tar"])
def test_an_image_that_is_none_is_told_what_one_is(server: Server, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    # Compressed, or the files alone, as `docker export` writes them.
    archive = tar([("etc/passwd", b"root")]) if name.endswith(".tar") else gzip.compress(build_oci(Image("web", "1.0")))
    path.write_bytes(archive)
    with pytest.raises(ServerRefused, match=r"can't go to docker; --distro may be tar; an image must be what `docker"):
        server.put(path, ("docker",))


def test_an_upload_brings_back_a_content_that_the_server_has_lost(server: Server, tmp_path: Path) -> None:
    paths = [write_deb(Deb(name, "1.0", "all"), tmp_path) for name in ("missing", "cut", "whole")]
    stored = [blob_path(server.data, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]

    async def upload(uploader: Uploader) -> list[bool]:
        return [is_new for path in paths for is_new in (await uploader.upload(path, ("bookworm",))).values()]

    assert server.ask(upload) == [True, True, True]
    stored[0].unlink()
    os.truncate(stored[1], stored[1].stat().st_size - 1)
    assert server.ask(upload) == [True, True, False]
    assert [path.read_bytes() for path in stored] == [path.read_bytes() for path in paths]
    assert server.ask(upload) == [False, False, False]


def test_the_same_file_from_several_uploaders_at_once_is_made_once_and_refused_to_none(
    server: Server, tmp_path: Path
) -> None:
    path = write_deb(Deb("shared", "1.0", "all"), tmp_path)

    async def upload() -> dict[str, bool]:
        async with signed_in(server.url, "admin", server.password) as uploader:
            return await uploader.upload(path, ("bookworm", "trixie"))

    async def upload_at_once() -> list[dict[str, bool]]:
        return await asyncio.gather(*(upload() for _ in range(4)))

    made = asyncio.run(upload_at_once())
    assert len({tuple(sorted(uris)) for uris in made}) == 1
    for uri in made[0]:
        assert sorted(uris[uri] for uris in made) == [False, False, False, True]


def test_the_next_files_are_sent_while_one_waits_and_all_are_made_in_their_order(
    server: Server, tmp_path: Path
) -> None:
    paths = [write_deb(Deb(f"one-of-{number}", "1", "all"), tmp_path) for number in range(6)]
    broken = tmp_path / "broken_1_all.deb"
    broken.write_bytes(b"no deb")
    # The same file twice: the second one is sent before the first one is made.
    given = [*paths[:2], broken, paths[1], *paths[2:]]
    with relay_to(server.url) as relay:
        relay.held = "/api/upload"
        command = ["upload", "--url", relay.url, "--distro", "bookworm", "--tag", "dev", *map(str, given)]
        with ThreadPoolExecutor(1) as pool:
            environment = {"PACKRAT_PASSWORD": server.password}
            result = pool.submit(lambda: CliRunner().invoke(main, command, env=environment))
            until = time.monotonic() + 60
            while relay.asked.count("POST /api/upload") < 4:
                assert time.monotonic() < until, relay.asked
            assert not any("(create)" in line for line in relay.asked)
            relay.passes.set()
    assert result.result().exit_code == 4
    uris = [line.split()[0] for line in result.result().stdout.splitlines()]
    names = [line.split(maxsplit=1)[1] for line in result.result().stdout.splitlines()]
    again = f"{paths[1].name} (already uploaded, already tagged dev)"
    assert names == [paths[0].name, paths[1].name, again, *(path.name for path in paths[2:])]
    numbers = [int(uri.split(":")[1]) for uri in uris]
    assert numbers == sorted(numbers)
    assert "broken_1_all.deb: it is not taken" in result.result().stderr
    assert "1 of 8 files refused, 7 done" in result.result().stderr


def test_what_is_on_its_way_ends_with_a_session_that_ended(server: Server, tmp_path: Path) -> None:
    paths = [write_deb(Deb(f"never-{number}", "1", "all"), tmp_path) for number in range(6)]

    async def upload(uploader: Uploader) -> list[str]:
        wanted = [NewFile(path, path.name, ("bookworm",), {}) for path in paths]
        done = []
        with pytest.raises(SessionEnded):
            async with aclosing(send_ahead(uploader.files, wanted)) as each:
                async for new, sending in each:
                    await sending
                    done.append(new.path.name)
                    raise SessionEnded("it ended")
        assert len(asyncio.all_tasks()) == before
        return done

    before = 1
    assert server.ask(upload) == [paths[0].name]


def test_a_large_file_is_sent_once_those_before_it_are_made(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_deb(Deb(f"sized-{number}", "1", "all"), tmp_path) for number in range(3)]
    monkeypatch.setattr(
        "packrat_server.client.file_uploads._LARGE_BYTES", min(path.stat().st_size for path in paths) - 1
    )
    with relay_to(server.url) as relay:
        command = ["upload", "--url", relay.url, "--distro", "bookworm", *map(str, paths)]
        result = CliRunner().invoke(main, command, env={"PACKRAT_PASSWORD": server.password})
    assert result.exit_code == 0, result.output
    steps = [step for line in relay.asked for step in ("/api/upload", "(create)") if step in line]
    # Each is made twice: at first, there is no package for it.
    assert steps == ["/api/upload", "(create)", "(create)"] * 3


def test_a_file_that_the_server_reads_for_long_is_waited_for(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_deb(Deb("long", "1", "all"), tmp_path)
    monkeypatch.setattr("packrat_core.cinp.client.Timeouts", lambda: Timeouts(stall_s=5.0))
    with relay_to(server.url) as relay, ThreadPoolExecutor(1) as pool:
        relay.held = "(distroversionOptions)"
        command = ["upload", "--url", relay.url, "--distro", "bookworm", str(path)]
        result = pool.submit(lambda: CliRunner().invoke(main, command, env={"PACKRAT_PASSWORD": server.password}))
        relay.until_asked("(distroversionOptions)")
        with pytest.raises(TimeoutError):
            result.result(timeout=6.0)
        relay.passes.set()
    assert result.result().exit_code == 0, result.result().output


def test_a_busy_server_is_sent_the_file_again(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_deb(Deb("busy", "1", "all"), tmp_path)
    with relay_to(server.url) as relay, ThreadPoolExecutor(1) as pool:
        relay.held = "POST /api/upload"
        command = ["upload", "--url", relay.url, "--distro", "bookworm", str(path)]
        result = pool.submit(lambda: CliRunner().invoke(main, command, env={"PACKRAT_PASSWORD": server.password}))
        relay.until_asked("POST /api/upload")
        monkeypatch.setattr("packrat_server.api.admission.CALLER_LIMIT", 0)
        relay.reset()
        relay.passes.set()
        relay.until_asked("POST /api/upload")
        monkeypatch.undo()
    assert result.result().exit_code == 0, result.result().output
    assert "too many requests at once" in result.result().stderr


@pytest.mark.parametrize("change", ["longer", "shorter", "other"])
def test_a_file_that_changes_while_it_is_sent_is_not_taken(server: Server, tmp_path: Path, change: str) -> None:
    path = tmp_path / f"{change}_1.0.img"
    size = 24 * 1024 * 1024
    path.write_bytes(bytes(size))
    with relay_to(server.url) as relay, ThreadPoolExecutor(1) as pool:
        relay.held = "POST /api/upload"
        command = ["upload", "--url", relay.url, "--distro", "img", str(path)]
        result = pool.submit(lambda: CliRunner().invoke(main, command, env={"PACKRAT_PASSWORD": server.password}))
        relay.until_asked("POST /api/upload")
        with path.open("r+b") as file:
            file.truncate(size // 4 if change == "shorter" else size)
            file.seek(0 if change == "other" else size, os.SEEK_SET)
            file.write(b"x" if change != "shorter" else b"")
        relay.passes.set()
        told = result.result()
        again = CliRunner().invoke(main, command, env={"PACKRAT_PASSWORD": server.password})
    assert told.exit_code == 4 and not told.stdout, told.output
    assert "it changed while it was sent; upload it again" in told.stderr
    assert again.exit_code == 0 and "already uploaded" not in again.stdout, again.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_file_that_the_disk_does_not_give_is_told_as_that(server: Server, tmp_path: Path) -> None:
    with hung_disk(tmp_path) as disk:
        disk.refusal = 0
        command = ["upload", "--url", server.url, "--distro", "img", str(tmp_path / "torn_1.0.img")]
        told = CliRunner().invoke(main, command, env={"PACKRAT_PASSWORD": server.password})
    assert told.exit_code == 4, told.output
    assert "torn_1.0.img: it can't be read: Input/output error" in told.stderr


def test_a_lost_refusal_is_not_taken_for_success_where_another_has_made_the_file(
    server: Server, tmp_path: Path
) -> None:
    for place, content in (("mine", b"mine"), ("other", b"other")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "contended_1.0.img").write_bytes(content)

    def upload(url: str, place: str) -> Result:
        command = ["upload", "--url", url, "--distro", "img", str(tmp_path / place / "contended_1.0.img")]
        return CliRunner().invoke(main, command, env={"PACKRAT_PASSWORD": server.password})

    with relay_to(server.url) as relay, ThreadPoolExecutor(1) as pool:
        relay.held, relay.cut, relay.cuts = "(create)", "(create)", [0]
        mine = pool.submit(upload, relay.url, "mine")
        relay.until_asked("(create)")
        assert upload(server.url, "other").exit_code == 0
        relay.passes.set()
        told = mine.result()
    assert not relay.cuts
    assert told.exit_code == 4 and "other bytes" in told.stderr, told.output
