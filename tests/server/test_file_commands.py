"""Commands such as `upload` and `tag`: they may be repeated, and go through the whole list."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from packrat_demo.build_deb import Deb, write_deb
from packrat_demo.build_image import Image, build_oci
from packrat_demo.build_wheel import Python, write_wheel
from packrat_server.store.database import open_database, reading
from packrat_server.store.tables import package_files
from support.file_commands import rows, run, tags
from support.stage import Server, packrat_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[Server]:
    with packrat_server(tmp_path_factory.mktemp("commands"), new_database()) as made:
        yield made


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


def test_one_file_that_is_refused_is_reported_in_one_line(server: Server) -> None:
    told = run(server, "tag", "dev", "nothere_1_all.deb")
    assert (told.code, told.out) == (4, [])
    assert told.err == [
        "packrat-server: nothere_1_all.deb: the server has no package file of this name; check the spelling, "
        "or give its URI"
    ]
    told = run(server, "fail", "/api/v2/Package/PackageFile:999999:")
    assert (told.code, told.out, len(told.err)) == (4, [], 1)


def test_a_refusal_is_reported_without_the_protocol_around_it(server: Server, tmp_path: Path) -> None:
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


def test_a_user_without_the_right_is_refused_and_a_wrong_password_stops_at_once(server: Server, tmp_path: Path) -> None:
    deb = write_deb(Deb("nobody", "1.0", "amd64"), tmp_path)
    told = run(server, "upload", deb, deb, secret="wrong")
    assert (told.code, told.out, len(told.err)) == (4, [], 1)


def test_files_read_ahead_are_reported_as_each_by_itself(server: Server, tmp_path: Path) -> None:
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
