"""The filter `kept` lists deprecated files, too, for mirrors whose clients know such a mark; `repo` stays as it is."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from packrat_demo.build_wheel import Python, build_wheel
from packrat_server import admin
from packrat_server.store.database import open_database
from support.world import World, world

PACKAGE_FILE = "/api/v2/Package/PackageFile"
DEV = {"tag": "/api/v2/Attrib/Tag:dev:"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        engine = open_database(made.data)
        admin.save_repo(engine, admin.NewRepo("newest", "pypi", "dev", ("pypi",), show_only_latest=True))
        admin.save_mirror(engine, "lab", ["pypi-dev", "newest"])
        engine.dispose()
        yield made


def put(server: World, project: str, version: str) -> str:
    """Upload a wheel and tag it dev; gives its URI."""
    python = Python(project, version, ())
    server.call("CREATE", "/api/v2/Package/Package", {"name": project}, "manager")
    given = {
        "file": server.upload(python.wheel_name, build_wheel(python)).value["uri"],
        "justification": "test",
        "provenance": "test",
        "distroversion": "pypi",
    }
    uri = server.call("CALL", f"{PACKAGE_FILE}(create)", given, "manager").value
    assert server.call("CALL", f"{uri}(tag)", DEV, "manager").status == 200
    return str(uri)


def listed(server: World, name: str, project: str, repo: str = "pypi-dev", **more: Any) -> Any:
    asked = {"repo": f"/api/v2/Repo/Repo:{repo}:", "package_list": [project], **more}
    return server.call("LIST", PACKAGE_FILE, asked, "lab", Filter=name).value


def act(server: World, uri: str, action: str, arguments: Mapping[str, str] | None = None) -> None:
    assert server.call("CALL", f"{uri}({action})", dict(arguments or {}), "manager").status == 200


def test_a_deprocated_file_is_kept_as_long_as_it_has_its_tag(server: World) -> None:
    old, new = put(server, "steps", "1.0"), put(server, "steps", "2.0")
    changes = "/api/v2/Repo/Mirror:lab:(changes)"
    for action, arguments, wanted, deprocated in (
        ("deprocate", None, [old], [new]),
        ("undeprocate", None, [old, new], []),
        ("fail", None, [old], []),
        ("unfail", None, [old, new], []),
        ("deprocate", None, [old], [new]),
        ("untag", DEV, [old], []),
    ):
        position = server.call("CALL", changes, {"position": None, "timeout": 0}, "lab").value["position"]
        act(server, new, action, arguments)
        assert listed(server, "repo", "steps") == wanted
        assert listed(server, "kept", "steps") == wanted + deprocated
        assert listed(server, "kept", "steps", deprocated=False) == wanted + deprocated
        assert listed(server, "kept", "steps", deprocated=True) == deprocated
        # An answer to `changes` names each, with the package to list.
        told = server.call("CALL", changes, {"position": position, "timeout": 0}, "lab").value["changes"]
        assert told["/api/v2/Repo/Repo:pypi-dev:"] == ["steps"]
    assert listed(server, "kept", "elsewhere") == []


@pytest.mark.parametrize(
    ("deprocated", "wanted", "kept"),
    [("", "3", ""), ("3", "2", "3"), ("2", "3", ""), ("23", "1", "3"), ("123", "", "3"), ("1", "3", "")],
)
def test_with_newest_only_a_deprocated_file_hides_nothing(
    server: World, deprocated: str, wanted: str, kept: str
) -> None:
    project = f"newest{deprocated}"
    uris = {number: put(server, project, f"{number}.0") for number in "123"}
    for number in deprocated:
        act(server, uris[number], "deprocate")
    assert listed(server, "repo", project, "newest") == [uris[number] for number in wanted]
    assert listed(server, "kept", project, "newest", deprocated=True) == [uris[number] for number in kept]
    assert listed(server, "kept", project, "newest") == [uris[number] for number in sorted(wanted + kept)]


def test_the_filter_is_described_and_its_arguments_are_checked(server: World) -> None:
    filters = server.call("DESCRIBE", PACKAGE_FILE, {}, "lab").value["list-filters"]
    assert [parameter["name"] for parameter in filters["kept"]] == ["repo", "package_list", "deprocated"]
    assert filters["kept"][2] == {"name": "deprocated", "type": "Boolean", "default": False}
    assert listed(server, "kept", "x", deprocated="yes") == {
        "deprocated": 'Invalid Value "Unable to convert to a bool: "yes", give true or false"'
    }
    assert "NotFound" in listed(server, "kept", "x", "apt-prod")["repo"]
    assert server.call("LIST", PACKAGE_FILE, {}, "lab", Filter="kept").value == {
        "repo": "Required Paramater",
        "package_list": "Required Paramater",
    }
    assert server.call("LIST", PACKAGE_FILE, {}, None, Filter="kept").status == 403


def test_a_filter_that_no_model_has_is_refused_by_name(server: World) -> None:
    answer = server.call("LIST", PACKAGE_FILE, {}, "lab", Filter="kept" * 100)
    assert (answer.status, answer.value["message"]) == (400, f'Invalid Filter Name "{"kept" * 25}"')
