"""Uploading and promoting: the rules, in the words that the original server has for them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from packrat_demo.build_deb import Deb, build_deb
from server.recorded import WIRE
from server.world import Answer, World, world

PACKAGE_FILE = "/api/v2/Package/PackageFile"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        yield made


def recorded(number: int) -> Any:
    """An answer of the recording about names."""
    return json.loads((WIRE / "11_names.json").read_text())[number]["response"]["body"]


def create(server: World, handle: str, suite: str = "bookworm", who: str = "manager") -> Answer:
    arguments = {"file": handle, "justification": "j", "provenance": "p", "distroversion": suite}
    return server.call("CALL", f"{PACKAGE_FILE}(create)", arguments, who)


def upload(server: World, deb: Deb) -> str:
    answer = server.upload(deb.file_name, build_deb(deb))
    assert answer.status == 202
    return str(answer.value["uri"])


def new_file(server: World, deb: Deb, suite: str = "bookworm") -> str:
    handle = upload(server, deb)
    server.call("CREATE", "/api/v2/Package/Package", {"name": deb.name}, "manager")
    answer = create(server, handle, suite)
    assert answer.status == 200, answer.data
    return str(answer.value)


def test_name_version_and_arch_are_read_from_inside_the_deb(server: World) -> None:
    handle = server.upload("whatever.deb", build_deb(Deb("inside+x", "3:1.0~rc1-2", "amd64"))).value["uri"]
    options = server.call("CALL", f"{PACKAGE_FILE}(distroversionOptions)", {"file": handle}, "manager").value
    assert {"trusty", "noble", "buster", "trixie"} <= set(options)
    assert server.call("CREATE", "/api/v2/Package/Package", {"name": "inside+x"}, "manager").status == 201
    uri = create(server, handle).value
    record = server.call("GET", uri).value
    assert record["package"] == "/api/v2/Package/Package:inside+x:"
    assert (record["version"], record["arch"], record["type"]) == ("3:1.0~rc1-2", "x86_64", "deb")
    assert record["file"] == "/files/whatever.deb"
    assert record["created_by"] == "manager"


def test_a_package_must_exist_before_its_files(server: World) -> None:
    answer = create(server, upload(server, Deb("nopackage", "1", "all")))
    wanted = recorded(96)["message"].replace("newpkgnotcreated", "nopackage")
    assert (answer.status, answer.value["message"]) == (400, wanted)


def test_a_distribution_version_must_fit(server: World) -> None:
    handle = upload(server, Deb("misfit", "1", "all"))
    server.call("CREATE", "/api/v2/Package/Package", {"name": "misfit"}, "manager")
    answer = create(server, handle, "rhel8")
    assert (answer.status, answer.value) == (400, recorded(42))


def test_a_version_that_names_releases_goes_to_these_only(server: World) -> None:
    handle = upload(server, Deb("picky", "1.0-1bionic", "all"))
    options = server.call("CALL", f"{PACKAGE_FILE}(distroversionOptions)", {"file": handle}, "manager").value
    assert set(options) >= {"bionic"}


def test_a_name_that_is_taken_by_other_bytes_is_refused(server: World) -> None:
    new_file(server, Deb("taken", "1", "all"))
    other = server.upload("taken_1_all.deb", build_deb(Deb("taken", "2", "all"))).value["uri"]
    answer = create(server, other)
    assert answer.status == 400
    assert answer.value["message"] == recorded(89)["message"].replace("conf_1.0.json", "taken_1_all.deb")


def test_the_same_bytes_may_serve_several_suites(server: World) -> None:
    deb = Deb("shared", "1", "all")
    first = new_file(server, deb, "bookworm")
    second = create(server, upload(server, deb), "trixie")
    assert second.status == 200
    files = [server.call("GET", uri).value["file"] for uri in (first, second.value)]
    assert files == ["/files/shared_1_all.deb"] * 2
    again = create(server, upload(server, deb), "trixie")
    assert again.status == 400
    assert "already exists" in again.value["message"]


def test_tags_have_their_order_and_prod_its_change_control(server: World) -> None:
    uri = new_file(server, Deb("ordered", "1", "all"))

    def tag(name: str, **more: str) -> Answer:
        return server.call("CALL", f"{uri}(tag)", {"tag": f"/api/v2/Attrib/Tag:{name}:", **more}, "manager")

    assert tag("stage").value == recorded(121)
    assert tag("dev").status == 200
    assert tag("dev").value == recorded(120)
    assert tag("stage").status == 200
    refused = tag("prod").value
    assert refused["error"] == recorded(122)["error"]
    assert refused["class"] == recorded(122)["class"]
    assert tag("prod", change_control_id="CC-7").status == 200
    assert tag("nope").value == recorded(123)
    record = server.call("GET", uri).value
    assert record["tags"] == ["dev", "prod", "stage"]
    tagged = [server.call("GET", one).value for one in record["tag_list"]]
    assert [one["change_control_id"] for one in tagged] == [None, "CC-7", None]


def test_a_tag_that_another_needs_stays(server: World) -> None:
    uri = new_file(server, Deb("kept", "1", "all"))
    for name in ("dev", "stage"):
        server.call("CALL", f"{uri}(tag)", {"tag": f"/api/v2/Attrib/Tag:{name}:"}, "manager")
    dev, stage = ({"tag": f"/api/v2/Attrib/Tag:{name}:"} for name in ("dev", "stage"))
    assert server.call("CALL", f"{uri}(untag)", dev, "manager").value["error"] == "TAG_REQUIRED"
    assert server.call("CALL", f"{uri}(untag)", stage, "manager").status == 200
    assert server.call("CALL", f"{uri}(untag)", dev, "manager").status == 200
    assert server.call("CALL", f"{uri}(untag)", dev, "manager").value["error"] == "NOT_TAGGED"


def test_failing_and_deprocating_note_who_and_when_and_can_be_undone(server: World) -> None:
    uri = new_file(server, Deb("marked", "1", "all"))
    for action, field in (("fail", "failed"), ("deprocate", "deprocated")):
        assert server.call("CALL", f"{uri}({action})", {}, "manager").status == 200
        record = server.call("GET", uri).value
        assert record[f"{field}_by"] == "manager"
        first = record[f"{field}_at"]
        server.call("CALL", f"{uri}({action})", {}, "root")
        assert server.call("GET", uri).value[f"{field}_at"] == first
        assert server.call("CALL", f"{uri}(un{action})", {}, "manager").status == 200
        assert server.call("GET", uri).value[f"{field}_at"] is None


def test_a_repository_wants_what_has_its_tag_and_is_not_withdrawn(server: World) -> None:
    uri = new_file(server, Deb("wanted", "1", "all"))
    asked = {"repo": "/api/v2/Repo/Repo:apt-dev:", "package_list": ["wanted"]}

    def listed() -> Any:
        return server.call("LIST", PACKAGE_FILE, asked, "lab", Filter="repo").value

    assert listed() == []
    server.call("CALL", f"{uri}(tag)", {"tag": "/api/v2/Attrib/Tag:dev:"}, "manager")
    assert listed() == [uri]
    server.call("CALL", f"{uri}(fail)", {}, "manager")
    assert listed() == []
    server.call("CALL", f"{uri}(unfail)", {}, "manager")
    assert listed() == [uri]


def test_only_an_administrator_deletes(server: World) -> None:
    uri = new_file(server, Deb("deleted", "1", "all"))
    assert server.call("DELETE", uri, who="manager").status == 403
    assert server.call("DELETE", uri, who="root").status == 200
    assert server.call("GET", uri).status == 404
    assert new_file(server, Deb("deleted", "1", "all", (("Section", "net"),))) != uri


@pytest.mark.parametrize(
    "name",
    ["../evil.deb", ".hidden.deb", "-dash.deb", "a/b.deb", "foo_1:1.0-1_amd64.deb", "foo_1%3a1.0_amd64.deb", "x" * 300],
)
def test_a_name_that_is_no_file_name_is_refused(server: World, name: str) -> None:
    answer = server.upload(name, b"x")
    assert (answer.status, answer.value) == (400, recorded(0))


@pytest.mark.parametrize("name", ["foo_1.0+b1_amd64.deb", "foo_1.0~rc1_amd64.deb", "libstdc++x_1.0_amd64.deb"])
def test_names_that_packages_really_have_are_taken(server: World, name: str) -> None:
    assert server.upload(name, b"x").status == 202


def test_a_torn_deb_is_refused_with_the_reason(server: World) -> None:
    handle = server.upload("torn_1_all.deb", build_deb(Deb("torn", "1", "all"))[:150]).value["uri"]
    answer = create(server, handle)
    assert answer.status == 400
    assert "torn" in answer.value["message"]


def test_an_upload_without_a_name_and_an_unknown_handle_are_refused(server: World) -> None:
    nameless = server.upload(None, b"x").value["uri"]
    for handle in (nameless, "djfh://nothere"):
        answer = server.call("CALL", f"{PACKAGE_FILE}(distroversionOptions)", {"file": handle}, "manager")
        assert answer.status == 400
        assert "Invalid Result Value" in answer.value["message"]


@pytest.mark.parametrize("who", ["lab", None])
def test_mirrors_and_strangers_neither_upload_nor_promote(server: World, who: str | None) -> None:
    headers = {"Content-Disposition": 'inline; filename="x_1.json"', **server.auth(who)}
    assert server.ask("POST", "/api/upload", headers, b"x").status == 403
    for action in ("tag", "untag", "fail", "unfail", "deprocate", "undeprocate"):
        assert server.call("CALL", f"{PACKAGE_FILE}:1:({action})", {}, who).status == 403


def test_file_names_in_use_are_told(server: World) -> None:
    new_file(server, Deb("used", "1", "all"))

    def in_use(name: str) -> Any:
        return server.call("CALL", f"{PACKAGE_FILE}(filenameInUse)", {"file_name": name}, "manager").value

    assert in_use("used_1_all.deb") is True
    assert in_use("unused_1_all.deb") is False
