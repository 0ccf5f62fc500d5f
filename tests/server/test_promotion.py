"""Uploading and promoting: the rules, in the words that the original server has for them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from packrat_core.errors import Refused, ServerRefused
from packrat_core.packages.deb.control import check_file_name
from packrat_demo.build_deb import Deb, build_deb
from packrat_server.api.schema import MODELS
from packrat_server.cli import main as cli
from packrat_server.client.refusals import explain
from packrat_server.promotion.retention import delete_surplus
from packrat_server.store.database import open_database
from support.recorded import WIRE
from support.world import Answer, World, world

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


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("Depends", "irods-runtime (= )", "a Depends that stops apt on every client: 'irods-runtime (= )'"),
        ("Breaks", "libc6 >= 2.3", "a Breaks that stops apt on every client: '>= 2.3'"),
        ("Provides", "", "a Provides that stops apt on every client: it is empty"),
        ("Description", "x" * 1_050_000, "stops apt on every client: the limit is 1048576"),
    ],
)
def test_debs_that_stop_apt_are_refused(server: World, field: str, value: str, told: str) -> None:
    handle = upload(server, Deb("fatal", "1", "all", ((field, value),)))
    server.call("CREATE", "/api/v2/Package/Package", {"name": "fatal"}, "manager")
    answer = create(server, handle)
    assert answer.status == 400
    assert told in answer.value["message"]


def test_a_torn_deb_is_not_taken_and_does_not_block_its_version(server: World) -> None:
    deb = Deb("torn", "1", "all", files=(("/usr/share/torn", b"x" * 5000),), compression="none")
    whole = build_deb(deb)
    server.call("CREATE", "/api/v2/Package/Package", {"name": "torn"}, "manager")
    for content in (whole[:-1000], whole[: whole.index(b"data.tar")], whole + b"more"):
        answer = create(server, server.upload(deb.file_name, content).value["uri"])
        assert answer.status == 400
        assert "unusable deb: it is damaged" in answer.value["message"]
    assert new_file(server, deb)


@pytest.mark.parametrize("name", ["netcfg_1_all.udeb", "netcfg", "netcfg_1.zip"])
def test_names_that_the_mirror_leaves_out_are_refused_with_the_same_reason(server: World, name: str) -> None:
    server.call("CREATE", "/api/v2/Package/Package", {"name": "netcfg"}, "manager")
    answer = create(server, server.upload(name, build_deb(Deb("netcfg", "1", "all"))).value["uri"])
    with pytest.raises(Refused) as reason:
        check_file_name(name)
    assert answer.status == 400
    assert f"unusable deb: {reason.value}" in answer.value["message"]


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
    assert tag("prod").value == recorded(122)
    assert tag("prod", change_control_id="CC-7").status == 200
    assert tag("nope").value == recorded(123)
    record = server.call("GET", uri).value
    assert record["tags"] == ["dev", "prod", "stage"]
    tagged = [server.call("GET", uri).value for uri in record["tag_list"]]
    assert [tag["change_control_id"] for tag in tagged] == [None, "CC-7", None]


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


@pytest.mark.parametrize(
    ("action", "other", "error"), [("fail", "deprocate", "FAILED"), ("deprocate", "fail", "DEPROCATED")]
)
def test_a_file_that_was_withdrawn_takes_no_tag_and_no_other_mark(
    server: World, action: str, other: str, error: str
) -> None:
    uri = new_file(server, Deb(f"untaggable-{action}", "1", "all"))

    def call(name: str, arguments: dict[str, str] | None = None) -> Answer:
        return server.call("CALL", f"{uri}({name})", arguments or {}, "manager")

    dev = {"tag": "/api/v2/Attrib/Tag:dev:"}
    assert call(action).status == 200
    refused = call("tag", dev)
    assert (refused.status, refused.value["class"], refused.value["error"]) == (
        400,
        "PackageException",
        "DEPROCATED/FAILED",
    )
    before = server.call("GET", uri).value
    assert before["tags"] == []
    refused = call(other)
    assert (refused.status, refused.value["class"], refused.value["error"]) == (400, "PackageException", error)
    assert (call(action).status, call(action).data) == (200, b"")
    assert server.call("GET", uri).value == before
    assert call(f"un{action}").status == 200
    assert call("tag", dev).status == 200


def test_a_withdrawn_file_is_refused_as_such_before_anything_else(server: World) -> None:
    uri = new_file(server, Deb("refused-first", "1", "all"))
    dev, prod = ({"tag": f"/api/v2/Attrib/Tag:{name}:"} for name in ("dev", "prod"))
    assert server.call("CALL", f"{uri}(tag)", dev, "manager").status == 200
    server.call("CALL", f"{uri}(fail)", {}, "manager")
    for wanted in (dev, prod):
        assert server.call("CALL", f"{uri}(tag)", wanted, "manager").value["error"] == "DEPROCATED/FAILED"
    assert server.call("CALL", f"{uri}(untag)", dev, "manager").status == 200


def test_files_are_listed_by_their_name_to_those_who_see_them(server: World) -> None:
    deb = Deb("by-name", "1.0+b1~2", "all")
    uris = [new_file(server, deb, "bookworm"), create(server, upload(server, deb), "trixie").value]

    def listed(name: object, who: str = "manager") -> Answer:
        return server.call("LIST", PACKAGE_FILE, {"file_name": name}, who, Filter="file_name", Count="100")

    assert listed(deb.file_name).value == uris
    assert listed("by-name_9_all.deb").value == []
    assert listed(deb.file_name, "lab").value == []
    server.call("CALL", f"{uris[0]}(tag)", {"tag": "/api/v2/Attrib/Tag:dev:"}, "manager")
    assert listed(deb.file_name, "lab").value == uris[:1]
    assert listed(None).value == []
    assert listed([1]).status == 400
    assert server.call("LIST", PACKAGE_FILE, {}, "manager", Filter="file_name").value == {
        "file_name": "Required Paramater"
    }


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
    # The same bytes may come back.
    assert new_file(server, Deb("deleted", "1", "all")) != uri


def test_only_an_administrator_says_how_many_marked_files_stay(server: World) -> None:
    package = "/api/v2/Package/Package"
    for who in ("uploader", "manager"):
        assert server.call("UPDATE", f"{package}:hello:", {"failed_count": 0}, who).status == 403
        assert server.call("CREATE", package, {"name": f"by-{who}", "deprocated_count": 9}, who).status == 403
        # As the original's page sends it.
        whole = {"name": f"by-{who}", "deprocated_count": 10, "failed_count": 5}
        assert server.call("CREATE", package, whole, who).status == 201
    assert server.call("UPDATE", f"{package}:hello:", {"failed_count": 4}, "root").value["failed_count"] == 4
    assert server.call("CREATE", package, {"name": "by-root", "failed_count": 0}, "root").status == 201


def test_a_name_belongs_to_its_bytes_also_when_the_file_is_deleted(server: World) -> None:
    first, second = (Deb("bound", "1", "all", (("Section", section),)) for section in ("net", "web"))

    def put(deb: Deb) -> Answer:
        return create(server, upload(server, deb))

    def free() -> tuple[int, str]:
        words = ["file", "free", first.file_name, "--yes", "--data", str(server.data)]
        done = CliRunner().invoke(cli.main, words)
        return done.exit_code, done.output

    uri = new_file(server, first)
    sha256 = server.call("GET", uri).value["sha256"]
    assert free()[0] == 2
    server.call("UPDATE", "/api/v2/Package/Package:bound:", {"failed_count": 0}, "root")
    server.call("CALL", f"{uri}(fail)", {}, "manager")
    engine = open_database(server.data)
    assert delete_surplus(engine) == 1
    engine.dispose()
    refused = put(second)
    assert refused.status == 400
    told = f'File name "bound_1_all.deb" allready used by a deleted file with the SHA-256 {sha256}'
    assert told in refused.value["message"]
    assert "packrat-server file free bound_1_all.deb" in explain(ServerRefused(str(refused.value)))
    assert put(first).status == 200
    code, said = free()
    assert (code, "a package file has it" in said) == (2, True)
    server.call("DELETE", put_uri(server, first.file_name), who="root")
    code, said = free()
    assert (code, said.splitlines()[0]) == (0, f"file name bound_1_all.deb: belongs to SHA-256 {sha256} → nobody")
    assert "next: `packrat-server upload bound_1_all.deb --distro DISTRO`" in said
    again = put(second)
    assert again.status == 200, again.data
    server.call("DELETE", again.value, who="root")
    assert put(first).status == 400


def put_uri(server: World, file_name: str) -> str:
    found = server.call("LIST", PACKAGE_FILE, {"file_name": file_name}, "root", Filter="file_name").value
    return str(found[0])


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
    assert "damaged" in answer.value["message"]


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


def test_file_names_in_use_are_reported(server: World) -> None:
    new_file(server, Deb("used", "1", "all"))

    def in_use(name: str) -> Any:
        return server.call("CALL", f"{PACKAGE_FILE}(filenameInUse)", {"file_name": name}, "manager").value

    assert in_use("used_1_all.deb") is True
    assert in_use("unused_1_all.deb") is False


@pytest.mark.parametrize(
    "action", [action.name for action in MODELS[PACKAGE_FILE].actions.values() if not action.static]
)
@pytest.mark.parametrize(
    "arguments", [{"tag": "/api/v2/Attrib/Tag:dev:"}, {"tag": "/api/v2/Attrib/Tag:none:"}, {"tag": 7}, {}]
)
def test_that_a_file_does_not_exist_is_reported_before_anything_else(
    server: World, action: str, arguments: dict[str, Any]
) -> None:
    answer = server.call("CALL", f"{PACKAGE_FILE}:999999:({action})", arguments, "manager")
    assert answer.status == 404
    assert answer.value == {"model_path": PACKAGE_FILE, "object_id": "999999"}
