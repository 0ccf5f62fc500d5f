"""Commands such as `upload` and `tag`: they may be repeated, go through the whole list, and find files by name."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from packrat_demo.build_deb import Deb, write_deb
from packrat_demo.build_image import Image, build_oci
from packrat_demo.build_wheel import Python, write_wheel
from packrat_server.api.schema import MODELS
from packrat_server.client.find_file import possible_packages
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.tables import package_file_tags, package_files, packages
from support.relay import Relay, relay_to
from support.stage import Server, packrat_server

MANY = 30_000
FEW_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class Told:
    """What a command said: lines of stdout and stderr."""

    code: int
    out: list[str]
    err: list[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[Server]:
    with packrat_server(tmp_path_factory.mktemp("commands"), new_database()) as made:
        yield made


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Relay]]:
    """A server with many files, behind a relay that counts."""
    with packrat_server(tmp_path_factory.mktemp("crowded")) as made:
        fill(made)
        with relay_to(made.url) as relay:
            made.url = relay.url
            yield made, relay


@pytest.fixture
def without_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the original server: no filter for file names."""
    monkeypatch.delitem(MODELS["/api/v2/Package/PackageFile"].filters, "file_name")


def run(server: Server, *words: str | Path, secret: str | None = None) -> Told:
    done = subprocess.run(
        [sys.executable, "-m", "packrat_server.cli", *map(str, words), "--url", server.url],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PACKRAT_PASSWORD": secret or server.password},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Told(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())


def rows(server: Server, file_name: str) -> Sequence[Any]:
    engine = open_database(server.data)
    with reading(engine) as connection:
        found = connection.execute(
            select(package_files).where(package_files.c.file_name == file_name).order_by(package_files.c.id)
        ).all()
    engine.dispose()
    return found


def tags(server: Server, file_name: str) -> list[list[str]]:
    engine = open_database(server.data)
    with reading(engine) as connection:
        query = select(package_file_tags.c.tag).order_by(package_file_tags.c.tag)
        found = [
            list(connection.execute(query.where(package_file_tags.c.package_file == row.id)).scalars())
            for row in rows(server, file_name)
        ]
    engine.dispose()
    return found


def fill(server: Server) -> None:
    now = datetime.now(UTC)
    engine = open_database(server.data)
    with writing(engine) as connection:
        names = [f"p{number}" for number in range(MANY // 10)]
        stamps = {"created": now, "updated": now}
        connection.execute(
            insert(packages), [{"name": name, "deprocated_count": 10, "failed_count": 5, **stamps} for name in names]
        )
        row = {"distro_version": "bookworm", "type": "deb", "arch": "x86_64", "justification": "", "provenance": ""}
        row |= {"size": 1, "created_by": "admin", **stamps}  # type: ignore[dict-item]
        files = [
            {
                **row,
                "package": name,
                "version": f"1.{n}",
                "file_name": f"{name}_1.{n}_amd64.deb",
                "sha256": f"{name}{n}",
            }
            for name in names
            for n in range(10)
        ]
        connection.execute(insert(package_files), files)
    engine.dispose()


def test_a_repeated_upload_and_tag_succeed_and_say_so(server: Server, tmp_path: Path) -> None:
    deb = write_deb(Deb("again", "1.0", "amd64"), tmp_path)
    command = ("upload", "--distro", "bookworm", "--distro", "trixie", "--tag", "dev", "--tag", "stage", deb)
    first, second = run(server, *command), run(server, *command)
    assert (first.code, second.code, first.err, second.err) == (0, 0, [], [])
    assert [line.split(" ")[1:] for line in first.out] == [["again_1.0_amd64.deb"]] * 2
    assert second.out == [f"{line} (already uploaded, already tagged dev, already tagged stage)" for line in first.out]
    assert tags(server, deb.name) == [["dev", "stage"]] * 2
    again = run(server, "tag", "stage", deb.name)
    assert (again.code, again.err) == (0, [])
    assert again.out == [f"{line} (already tagged stage)" for line in first.out]
    for expected in ([], [f"{line} (already without stage)" for line in first.out]):
        told = run(server, "tag", "--off", "stage", deb.name)
        assert (told.code, told.out, told.err) == (0, expected, [])
    assert tags(server, deb.name) == [["dev"]] * 2


def test_an_upload_is_completed_where_it_is_repeated_for_more(server: Server, tmp_path: Path) -> None:
    deb = write_deb(Deb("more", "1.0", "amd64"), tmp_path)
    assert run(server, "upload", "--distro", "bookworm", deb).code == 0
    told = run(server, "upload", "--distro", "bookworm", "--distro", "trixie", "--tag", "dev", deb)
    assert told.code == 0
    assert [line.endswith(" (already uploaded)") for line in told.out] == [True, False]
    assert tags(server, deb.name) == [["dev"], ["dev"]]


def test_a_file_with_one_place_to_go_needs_no_distro_the_second_time_either(server: Server, tmp_path: Path) -> None:
    wheel = write_wheel(Python("once_more", "1.0"), tmp_path)
    first, second = run(server, "upload", wheel), run(server, "upload", wheel)
    assert (first.code, second.code) == (0, 0)
    assert second.out == [f"{first.out[0]} (already uploaded)"]


def test_other_bytes_under_the_same_name_stay_an_error(server: Server, tmp_path: Path) -> None:
    deb = write_deb(Deb("changed", "1.0", "amd64"), tmp_path)
    assert run(server, "upload", "--distro", "bookworm", deb).code == 0
    write_deb(Deb("changed", "1.0", "amd64", (("Section", "net"),)), tmp_path)
    for distro in ("bookworm", "trixie"):
        told = run(server, "upload", "--distro", distro, deb)
        assert (told.code, told.out) == (4, [])
        (line,) = told.err
        assert line.startswith(f"packrat-server: {deb.name}: it is not taken: ")
        assert "other bytes under this name" in line
        assert line.count(deb.name) == 1
    assert len(rows(server, deb.name)) == 1


def test_a_refused_upload_does_not_stop_the_list(server: Server, tmp_path: Path) -> None:
    torn = tmp_path / "torn_1.0_amd64.deb"
    torn.write_bytes(b"!<arch>\nnothing")
    names = ["first", "second", "third"]
    debs = [write_deb(Deb(name, "1.0", "amd64"), tmp_path) for name in names]
    run(server, "upload", "--distro", "bookworm", debs[1])
    assert run(server, "fail", debs[1].name).code == 0
    told = run(server, "upload", "--distro", "bookworm", "--tag", "dev", torn, *debs)
    assert told.code == 4
    assert [line.split(" ", 1)[1] for line in told.out] == [
        debs[0].name,
        f"{debs[1].name} (already uploaded)",
        debs[2].name,
    ]
    assert len(told.err) == 3
    assert told.err[0].startswith(f"packrat-server: {torn.name}: ")
    assert told.err[1].startswith(f"packrat-server: {debs[1].name}: it is uploaded as /api/")
    assert "not tagged dev: it is failed or deprocated" in told.err[1]
    assert told.err[2] == "packrat-server: 2 of 4 files refused, 2 done; see the lines above"
    assert [tags(server, deb.name) for deb in debs] == [[["dev"]], [[]], [["dev"]]]


@pytest.mark.parametrize(("action", "column"), [("fail", "failed_at"), ("deprocate", "deprocated_at")])
def test_a_refused_change_does_not_stop_the_list(server: Server, tmp_path: Path, action: str, column: str) -> None:
    debs = [write_deb(Deb(f"{action}{number}", "1.0", "amd64"), tmp_path) for number in range(3)]
    assert run(server, "upload", "--distro", "bookworm", *debs).code == 0
    other = {"fail": "deprocate", "deprocate": "fail"}[action]
    assert run(server, other, debs[1].name).code == 0
    told = run(server, action, debs[0].name, debs[1].name, "nothere_1_all.deb", debs[2].name)
    assert (told.code, told.out) == (4, [])
    assert told.err[0] == (
        f"packrat-server: {debs[1].name}: it is {other.removesuffix('e')}ed, so it can't be "
        f"{action.removesuffix('e')}ed; `un{other}` undoes that"
    )
    assert told.err[1].startswith("packrat-server: nothere_1_all.deb: the server has no package file of this name")
    assert told.err[2].startswith("packrat-server: 2 of 4 files refused, 2 done")
    assert [getattr(rows(server, deb.name)[0], column) is None for deb in debs] == [False, True, False]
    again = run(server, action, debs[0].name, debs[2].name)
    state = f"already {action.removesuffix('e')}ed"
    noted = [f"/api/v2/Package/PackageFile:{rows(server, deb.name)[0].id}: {deb.name} ({state})" for deb in debs[::2]]
    assert (again.code, again.out, again.err) == (0, noted, [])


def test_one_file_that_is_refused_is_told_in_one_line(server: Server) -> None:
    told = run(server, "tag", "dev", "nothere_1_all.deb")
    assert (told.code, told.out) == (4, [])
    assert told.err == [
        "packrat-server: nothere_1_all.deb: the server has no package file of this name; check the spelling, "
        "or give its URI"
    ]
    told = run(server, "fail", "/api/v2/Package/PackageFile:999999:")
    assert (told.code, told.out, len(told.err)) == (4, [], 1)


def test_a_refusal_is_told_without_the_protocol_around_it(server: Server, tmp_path: Path) -> None:
    deb = write_deb(Deb("promoted", "1.0", "amd64"), tmp_path)
    first = run(server, "upload", "--distro", "bookworm", "--tag", "prod", deb)
    [uri] = [line.partition(" ")[0] for line in first.out]
    told = [
        first,
        *(run(server, "tag", "prod", name) for name in (deb.name, uri)),
        *(run(server, "tag", *words, deb.name) for words in (("nonesuch",), ("--off", "nonesuch"))),
        run(server, "fail", "/api/v2/Package/PackageFile:999999:"),
        run(server, "tag", "dev", deb.name, secret="wrong"),
    ]
    run(server, "tag", "dev", deb.name)
    run(server, "tag", "stage", deb.name)
    told.append(run(server, "tag", "prod", deb.name))
    name = f"packrat-server: {deb.name}: "
    renewing = (
        "check --user, and the password in PACKRAT_PASSWORD or --password-file; on the server's machine, "
        "`packrat-server user set admin --new-password` makes another"
    )
    in_order = "tag it stage first; `packrat-server promote` puts on all tags that one requires"
    assert [ended.err for ended in told] == [
        [f"{name}it is uploaded as {uri}, but not tagged prod: {in_order}"],
        [f"{name}{in_order}"],
        [f"packrat-server: {uri}: {in_order}"],
        [f"{name}the server has no tag nonesuch; check the spelling"],
        [f"{name}the server has no tag nonesuch; check the spelling"],
        [
            "packrat-server: /api/v2/Package/PackageFile:999999:: the server has no such package file; check its URI",
        ],
        [f"packrat-server: {server.url} refuses user 'admin' with this password: Invalid Login; {renewing}"],
        [f"{name}this tag needs a change control id: give --change-control"],
    ]
    assert {ended.code for ended in told} == {4}


def test_who_may_not_is_refused_and_a_wrong_password_stops_at_once(server: Server, tmp_path: Path) -> None:
    deb = write_deb(Deb("nobody", "1.0", "amd64"), tmp_path)
    told = run(server, "upload", deb, deb, secret="wrong")
    assert (told.code, told.out, len(told.err)) == (4, [], 1)


@pytest.mark.parametrize("action", ["fail", "unfail", "deprocate", "undeprocate", "tag"])
def test_a_name_is_found_among_many_without_reading_them_all(crowded: tuple[Server, Relay], action: str) -> None:
    server, relay = crowded
    name = "p777_1.7_amd64.deb"
    relay.reset()
    told = run(server, *(("tag", "dev") if action == "tag" else (action,)), name)
    assert (told.code, told.err) == (0, [])
    assert len(relay.asked) <= 6, relay.asked
    assert relay.received_bytes < FEW_BYTES


def test_the_tags_are_read_once_for_all_files_that_are_promoted(crowded: tuple[Server, Relay]) -> None:
    server, relay = crowded
    names = [f"p778_1.{number}_amd64.deb" for number in range(5)]
    relay.reset()
    told = run(server, "promote", "--to", "stage", *names)
    assert (told.code, told.err) == (0, [])
    assert sum("tagMap" in line for line in relay.asked) == 1, relay.asked
    assert [tags(server, name) for name in names] == [[["dev", "stage"]]] * 5


@pytest.mark.parametrize(
    "words", [("promote", "--to", "dev"), ("tag", "dev"), ("fail", "--yes"), ("fail", "--dry-run")]
)
def test_the_records_of_many_files_are_read_in_a_few_requests(
    crowded: tuple[Server, Relay], words: tuple[str, ...]
) -> None:
    server, relay = crowded
    package = {"promote": "p779", "tag": "p780"}.get(words[0], "p781")
    names = [f"{package}_1.{number}_amd64.deb" for number in range(10)]
    relay.reset()
    told = run(server, *words, *names)
    assert (told.code, told.err) == (0, [])
    assert sum(line.startswith("GET ") for line in relay.asked) == 1, relay.asked


def justify(server: Server, package: str, text: str) -> None:
    engine = open_database(server.data)
    with writing(engine) as connection:
        connection.execute(update(package_files).where(package_files.c.package == package).values(justification=text))
    engine.dispose()


def test_files_whose_records_are_too_large_together_are_read_one_by_one(crowded: tuple[Server, Relay]) -> None:
    server, relay = crowded
    names = [f"p782_1.{number}_amd64.deb" for number in range(10)]
    justify(server, "p782", "x" * 2_000_000)
    try:
        relay.reset()
        told = run(server, "promote", "--to", "dev", *names)
    finally:
        # Other tests read all records of this server.
        justify(server, "p782", "")
    assert (told.code, told.err, len(told.out)) == (0, [], 10)
    assert sum(line.startswith("GET ") for line in relay.asked) == 11


def test_files_read_ahead_are_told_as_each_by_itself(server: Server, tmp_path: Path) -> None:
    debs = [write_deb(Deb("ahead", f"1.{number}", "all"), tmp_path) for number in range(3)]
    added = run(server, "upload", "--distro", "trixie", "--distro", "bookworm", *debs)
    uris = [line.split(" ")[0] for line in added.out]
    epoch = "ahead_1%3a1.1_all.deb"
    run(server, "fail", debs[2].name)
    odd = ("nothere_1_all.deb", "/api/v2/Package/PackageFile:999999:", "/api/v2/Repo/Repo:none:", "x" * 3000)
    told = run(server, "promote", "--to", "stage", debs[0].name, *odd, epoch, uris[0], debs[2].name, debs[0].name)
    assert told.code == 4
    assert told.out == [
        *(f"{uri} {debs[0].name} (tagged dev, tagged stage)" for uri in uris[:2]),
        *(f"{uri} {epoch} (tagged dev, tagged stage)" for uri in uris[2:4]),
        f"{uris[0]} (already tagged dev, already tagged stage)",
        *(f"{uri} {debs[0].name} (already tagged stage)" for uri in uris[:2]),
    ]
    refused = [line.split(": ")[1] for line in told.err[:-1]]
    assert refused == [*odd, debs[2].name]


def test_an_upload_does_not_read_them_all_either(crowded: tuple[Server, Relay], tmp_path: Path) -> None:
    server, relay = crowded
    deb = write_deb(Deb("newcomer", "1.0", "amd64"), tmp_path)
    relay.reset()
    assert run(server, "upload", "--distro", "bookworm", deb).code == 0
    assert relay.received_bytes < FEW_BYTES
    relay.reset()
    assert run(server, "upload", "--distro", "bookworm", deb).code == 0
    assert not any("upload" in line for line in relay.asked), "what is there need not be sent again"


@pytest.mark.usefixtures("without_filter")
def test_a_server_without_the_filter_is_asked_for_the_package_of_the_name(crowded: tuple[Server, Relay]) -> None:
    server, relay = crowded
    for name, code in (("p1234_1.3_amd64.deb", 0), ("nothere_1.3_amd64.deb", 4)):
        relay.reset()
        assert run(server, "deprocate", name).code == code
        assert relay.received_bytes < FEW_BYTES
    assert rows(server, "p1234_1.3_amd64.deb")[0].deprocated_at is not None


@pytest.mark.usefixtures("without_filter")
def test_a_server_without_the_filter_is_given_many_names(crowded: tuple[Server, Relay]) -> None:
    server, relay = crowded
    names = [f"p783_1.{number}_amd64.deb" for number in range(3)]
    uri = f"/api/v2/Package/PackageFile:{rows(server, 'p783_1.4_amd64.deb')[0].id}:"
    relay.reset()
    told = run(server, "promote", "--to", "dev", *names, "nothere_1.3_amd64.deb", uri, names[0])
    assert (told.code, len(told.out)) == (4, 5), told
    found = [tags(server, f"p783_1.{number}_amd64.deb") for number in range(5)]
    assert found == [[["dev"]], [["dev"]], [["dev"]], [[]], [["dev"]]]
    assert relay.received_bytes < FEW_BYTES * len(names), "as for each by itself"


@pytest.mark.usefixtures("without_filter")
def test_a_server_without_the_filter_is_searched_where_the_name_tells_no_package(
    crowded: tuple[Server, Relay], tmp_path: Path
) -> None:
    server, relay = crowded
    path = write_deb(Deb("inside", "1.0", "amd64"), tmp_path).rename(tmp_path / "odd_1_name.deb")
    assert run(server, "upload", "--distro", "bookworm", path).code == 0
    relay.reset()
    assert run(server, "fail", path.name).code == 0
    assert rows(server, path.name)[0].failed_at is not None
    assert len(relay.asked) > MANY // 100, "all records were read, and still it ends well"


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("hello_2.10-3_amd64.deb", "hello"),
        ("python3-foo-1.0-1.el8.noarch.rpm", "python3-foo"),
        ("My.Pkg-1.0-py3-none-any.whl", "My-Pkg"),
        ("my_pkg-1.0.tar.gz", "my_pkg"),
        ("conf_1.0.json", "conf"),
    ],
)
def test_the_packages_that_a_name_may_belong_to(name: str, package: str) -> None:
    assert package in possible_packages(name)
    assert len(possible_packages("a-" * 100)) <= 20


def test_an_image_gets_the_name_and_tag_that_are_given(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "oauth_2_proxy_7.4.tar"
    path.write_bytes(build_oci(Image("oauth", "7.4")))
    done = run(server, "upload", path, "--package", "oauth_2_proxy", "--version", "7.4")
    assert done.code == 0, done.err
    assert done.out[0].partition(" ")[2] == "oauth_2_proxy~7.4.tar"
    # Repeated, it is found under the name that it got; the file's own name says something else.
    again = run(server, "upload", path, "--package", "oauth_2_proxy", "--version", "7.4")
    assert (again.code, again.out[0].split(" ")[0]) == (0, done.out[0].split(" ")[0])
    path.write_bytes(build_oci(Image("oauth", "7.3")))
    other = run(server, "upload", path, "--package", "oauth_2_proxy", "--version", "7.4")
    assert other.code == 4
    assert other.err[0].startswith(
        f"packrat-server: {path.name}: it is not taken as oauth_2_proxy~7.4.tar: the server has"
    )
    plain = run(server, "upload", path, "--version", "7.5")
    assert (plain.code, plain.out[0].partition(" ")[2]) == (0, "oauth_7.5.tar")
    engine = open_database(server.data)
    with reading(engine) as connection:
        rows = connection.execute(
            select(package_files.c.package, package_files.c.version).where(
                package_files.c.file_name.in_(["oauth_2_proxy~7.4.tar", "oauth_7.5.tar"])
            )
        ).all()
    engine.dispose()
    assert sorted(map(tuple, rows)) == [("oauth", "7.5"), ("oauth_2_proxy", "7.4")]


@pytest.mark.parametrize(
    ("package", "reason"), [("org/app", "call it 'org-app'"), ("App", "lower-case letters"), ("app", "")]
)
def test_a_name_that_registries_do_not_allow_is_refused_before_the_upload(
    server: Server, tmp_path: Path, package: str, reason: str
) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(build_oci(Image("web", "1")) if reason else b"no image")
    done = run(server, "upload", path, "--package", package, "--version", "1.0")
    assert done.code != 0
    assert (reason or "are for one image archive") in done.err[-1]
