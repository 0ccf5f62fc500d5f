"""`upload-time` in a Python index is when the server took the file in, also where it did so twice."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from packrat_demo.build_wheel import Python, write_wheel
from packrat_server import admin
from packrat_server.admin.new_server import init
from packrat_server.promotion.package_files import delete_file
from packrat_server.serving.running import running
from packrat_server.store.database import open_database, writing
from packrat_server.store.events import SERVER
from support.ports import held_port
from support.stage import Server, Stage, daemon

TOOL = Python("tool", "1.0", ())


def put(lab: Stage) -> tuple[str, datetime, datetime]:
    """Upload the wheel; gives its URI, and the moments before and after."""
    before = datetime.now(UTC)
    [uri] = lab.server.put(write_wheel(TOOL, lab.directory), ("pypi",))
    return uri, before, datetime.now(UTC)


def upload_time(lab: Stage) -> datetime | None:
    page = lab.repo / "simple/tool/index.v1_json"
    if not page.exists():
        return None
    [file] = json.loads(page.read_text())["files"]
    assert file["upload-time"].endswith("Z")
    return datetime.fromisoformat(file["upload-time"])


def set_up(directory: Path) -> Stage:
    """Make a server, not running, with a pypi repository, and a mirror of it."""
    data = directory / "server"
    server = Server(data, init(data, None))
    engine = open_database(data)
    admin.save_repo(engine, admin.NewRepo("pypi-dev", "pypi", "dev", ("pypi",), show_only_latest=False))
    psk = admin.save_mirror(engine, "lab", ["pypi-dev"])
    engine.dispose()
    assert psk is not None
    return Stage(directory, server, psk, None, kind="pypi")


def test_a_file_that_is_deleted_and_uploaded_again_is_as_new_as_the_second_upload(tmp_path: Path) -> None:
    lab = set_up(tmp_path)
    with running(lab.server.data) as lab.server.url:
        lab.write_config()
        uri, before, after = put(lab)
        lab.agent("sync")
        first = upload_time(lab)
        assert first is not None
        assert before <= first <= after
        # It is when the file was taken in, not when it was promoted or deprecated.
        for action in ("deprocate", "undeprocate"):
            lab.server.act(uri, action)
        lab.server.tag(uri, "stage")
        lab.agent("sync")
        assert upload_time(lab) == first
        engine = open_database(lab.server.data)
        with writing(engine) as connection:
            delete_file(connection, int(uri.rsplit(":", 2)[1]), SERVER)
        engine.dispose()
        _, before, after = put(lab)
        lab.agent("sync")
        second = upload_time(lab)
        assert second is not None
        assert first < before <= second <= after


def test_a_restored_server_that_takes_a_file_in_again_tells_the_later_time(tmp_path: Path) -> None:
    lab = set_up(tmp_path)
    data, backup = lab.server.data, tmp_path / "backup"
    shutil.copytree(data, backup)
    with held_port() as port:
        with running(data, port=port) as lab.server.url:
            lab.write_config()
            uri, _, after = put(lab)
            lab.agent("sync")
            first = upload_time(lab)
        with daemon(lab) as agent:
            with running(data, port=port):
                agent.until_logged("checked")
            shutil.rmtree(data)
            shutil.copytree(backup, data)
            # Uploaded before the agent sees the server again: the record has the URI of the lost one.
            with running(data) as lab.server.url:
                again, before, _ = put(lab)
            assert again == uri
            with running(data, port=port) as lab.server.url:
                agent.until_logged("published repo=pypi-dev")
                second = upload_time(lab)
    assert first is not None
    assert second is not None
    assert first <= after < before <= second
