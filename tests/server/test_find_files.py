"""Commands find files by name among many in a few requests, also on a server without the filter for that."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from packrat_demo.build_deb import Deb, write_deb
from packrat_server.api.schema import MODELS
from packrat_server.client.find_file import possible_packages
from packrat_server.store.database import open_database, writing
from packrat_server.store.tables import package_files, packages
from support.file_commands import rows, run, tags
from support.relay import Relay, relay_to
from support.stage import Server, packrat_server

MANY = 30_000
FEW_BYTES = 20_000


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


@pytest.mark.parametrize(
    ("number", "action"),
    [*enumerate(["fail", "unfail", "deprocate", "undeprocate", "tag"])],
    ids=lambda part: f"{part}",
)
def test_a_name_is_found_among_many_without_reading_them_all(
    crowded: tuple[Server, Relay], number: int, action: str
) -> None:
    server, relay = crowded
    name = f"p777_1.{number}_amd64.deb"
    if action.startswith("un"):
        assert run(server, action.removeprefix("un"), name).code == 0
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
