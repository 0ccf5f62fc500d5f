"""What is deprecated on the server is yanked in the index: real clients take it only if they name its version."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from packrat_demo.build_wheel import Python, write_sdist, write_wheel
from packrat_server.api.schema import MODELS
from packrat_server.promotion.package_files import delete_file
from packrat_server.store.database import open_database, writing
from packrat_server.store.events import SERVER
from support.original_server import original_server
from support.original_store import StoredRepo
from support.python_clients import installed, pip, plain_server, uv
from support.stage import Daemon, Server, Stage, daemon, stage
from support.web import web_server

FILTERS: Any = MODELS["/api/v2/Package/PackageFile"].filters
OLD = Python("tool", "1.0", (), files=(("tool.py", b"VERSION = 1\n"),))
BAD = Python("tool", "2.0", (), files=(("tool.py", b"VERSION = 2\n"),))
ALONE = Python("alone", "1.0", (), files=(("alone.py", b"ALONE = True\n"),))
GOES = tuple(Python("goes", version, (), files=(("goes.py", b""),)) for version in ("1.0", "2.0", "3.0"))
GOOD = {OLD.wheel_name: False, BAD.wheel_name: False}
YANKED = {OLD.wheel_name: False, BAD.wheel_name: True}


def page(lab: Stage, project: str = "tool") -> dict[str, Any]:
    """File name → whether it is yanked, by the JSON; the HTML says the same."""
    directory = lab.repo / "simple" / project
    if not (directory / "index.html").exists():
        return {}
    files = json.loads((directory / "index.v1_json").read_text())["files"]
    links = [line for line in (directory / "index.html").read_text().splitlines() if line.startswith("<a ")]
    assert [' data-yanked=""' in link for link in links] == [file["yanked"] for file in files]
    return {file["filename"]: file["yanked"] for file in files}


@dataclass(slots=True)
class Shelf:
    """A mirror whose agent runs, with several versions of some projects."""

    lab: Stage
    agent: Daemon
    uris: dict[str, str]

    def act(self, name: str, action: str) -> None:
        """Do something to a file on the server."""
        self.lab.server.act(self.uris[name], action)

    def change(self, change: Callable[[], None], project: str = "tool") -> dict[str, Any]:
        """Change something on the server; gives what the page says when the agent has published it."""
        count = self.agent.log.count("published repo=pypi-dev")
        change()
        self.agent.until_logged("published repo=pypi-dev", count + 1)
        return page(self.lab, project)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    directory = tmp_path_factory.mktemp("shelf")
    with stage(directory, None, ("pypi",), "pypi") as lab:
        uris = {}
        for path in (*(write_wheel(python, directory) for python in (OLD, BAD, *GOES)), write_sdist(ALONE, directory)):
            [uris[path.name]] = lab.server.put(path, ("pypi",))
        with daemon(lab) as agent:
            agent.until_logged("checked")
            yield Shelf(lab, agent, uris)


def hashed(lab: Stage, directory: Path) -> str:
    path = directory / "requirements.txt"
    digest = hashlib.sha256((lab.directory / BAD.wheel_name).read_bytes()).hexdigest()
    path.write_text(f"tool==2.0 --hash=sha256:{digest}\n")
    return str(path)


def test_clients_take_a_deprecated_version_only_if_they_name_it(shelf: Shelf, tmp_path: Path) -> None:
    lab = shelf.lab
    assert shelf.change(lambda: shelf.act(BAD.wheel_name, "deprocate")) == YANKED
    assert shelf.change(lambda: shelf.act(ALONE.sdist_name, "deprocate"), "alone") == {ALONE.sdist_name: True}
    named = {
        "json": ["--require-hashes", "-r", hashed(lab, tmp_path)],
        "html": ["tool==2.0"],
    }
    with web_server(lab.www) as by_json, plain_server(lab.www) as by_html:
        for form, url in (("json", by_json), ("html", by_html)):
            index = f"{url}/pypi-dev/simple/"
            for client in (pip, uv):
                for words, python in ((["tool"], OLD), (named[form], BAD)):
                    client(index, tmp_path, *words)
                    assert installed(tmp_path) == {f"{python.stem}.dist-info"}, (client, form, words)
                    shutil.rmtree(tmp_path / "target")
                # All that it has is deprecated.
                client(index, tmp_path, "alone", expect=None)
    # Neither the audit nor pip, which it drives, finds anything wrong.
    lab.agent("verify", "--clients")
    shelf.change(lambda: shelf.act(ALONE.sdist_name, "undeprocate"))
    assert shelf.change(lambda: shelf.act(BAD.wheel_name, "undeprocate")) == GOOD


def test_a_mark_comes_and_goes_without_a_download(shelf: Shelf) -> None:
    lab = shelf.lab
    files = {path: path.stat().st_ino for path in lab.repo.glob("packages/*/*")}
    others = {path: path.stat().st_mtime_ns for path in lab.repo.glob("simple/alone/*")}
    # Nothing can be downloaded.
    (lab.server.data / "files").rename(lab.server.data / "away")
    assert shelf.change(lambda: shelf.act(BAD.wheel_name, "deprocate")) == YANKED
    # What is said twice is nothing new, so nothing more is published.
    shelf.act(BAD.wheel_name, "deprocate")
    assert shelf.change(lambda: shelf.act(OLD.wheel_name, "deprocate")) == dict.fromkeys(GOOD, True)
    assert shelf.change(lambda: shelf.act(OLD.wheel_name, "undeprocate")) == YANKED
    assert shelf.change(lambda: shelf.act(BAD.wheel_name, "undeprocate")) == GOOD
    *_, log_line = (line for line in shelf.agent.log.splitlines() if "published" in line)
    assert log_line.endswith("added=0 removed=0 unyanked=1")
    (lab.server.data / "away").rename(lab.server.data / "files")
    assert {path: path.stat().st_ino for path in lab.repo.glob("packages/*/*")} == files
    assert {path: path.stat().st_mtime_ns for path in lab.repo.glob("simple/alone/*")} == others


def test_a_yanked_file_that_is_failed_untagged_or_deleted_goes(shelf: Shelf) -> None:
    names = [python.wheel_name for python in GOES]

    def delete() -> None:
        engine = open_database(shelf.lab.server.data)
        with writing(engine) as connection:
            delete_file(connection, int(shelf.uris[names[2]].rsplit(":", 2)[1]), SERVER)
        engine.dispose()

    for number, name in enumerate(names):
        marks = shelf.change(partial(shelf.act, name, "deprocate"), "goes")
        assert marks == {other: other in names[: number + 1] for other in names}
    # The server fails no deprecated file.
    assert not shelf.change(lambda: shelf.act(names[0], "undeprocate"), "goes")[names[0]]
    assert names[0] not in shelf.change(lambda: shelf.act(names[0], "fail"), "goes")
    assert shelf.change(lambda: shelf.lab.server.untag(shelf.uris[names[1]], "dev"), "goes") == {names[2]: True}
    assert shelf.change(delete, "goes") == {}


def test_a_full_sync_and_a_new_agent_see_what_the_changes_told(shelf: Shelf) -> None:
    lab = shelf.lab
    assert shelf.change(lambda: shelf.act(BAD.wheel_name, "deprocate")) == YANKED
    assert shelf.agent.stop() == 0
    tree = lab.tree()
    with daemon(lab) as agent:
        agent.until_logged("checked")
        assert agent.stop() == 0
        assert "published" not in agent.log
    # The landing page follows a change within a second; an agent that is stopped before leaves it to the next one.
    assert lab.tree() | {"index.html": None} == tree | {"index.html": None}
    pages = {path: path.read_bytes() for path in lab.repo.glob("simple/*/*")}
    # An agent that knows nothing is told all by its first full sync.
    shutil.rmtree(lab.directory / "state")
    shutil.rmtree(lab.www)
    lab.write_config()
    lab.agent("sync")
    assert {path: path.read_bytes() for path in lab.repo.glob("simple/*/*")} == pages
    # What happened while no agent ran.
    shelf.act(OLD.wheel_name, "deprocate")
    shelf.act(BAD.wheel_name, "undeprocate")
    assert "added=0 removed=0 yanked=1 unyanked=1" in lab.agent("sync").stderr
    assert page(lab) == {OLD.wheel_name: True, BAD.wheel_name: False}


def test_a_server_without_the_filter_takes_deprecated_files_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = FILTERS["kept"]
    with stage(tmp_path, None, ("pypi",), "pypi") as lab:
        lab.server.put(write_wheel(OLD, tmp_path), ("pypi",))
        [bad] = lab.server.put(write_wheel(BAD, tmp_path), ("pypi",))
        monkeypatch.delitem(FILTERS, "kept")
        lab.agent("sync")
        lab.server.act(bad, "deprocate")
        lab.agent("sync")
        assert page(lab) == {OLD.wheel_name: False}
        # It is upgraded, and downgraded again.
        monkeypatch.setitem(FILTERS, "kept", kept)
        lab.agent("sync")
        assert page(lab) == YANKED
        monkeypatch.delitem(FILTERS, "kept")
        lab.agent("sync")
        assert page(lab) == {OLD.wheel_name: False}


def test_the_original_server_takes_deprecated_files_out(tmp_path: Path) -> None:
    with original_server() as original:
        original.repos = {"pypi-dev": StoredRepo("dev", ("pypi",), "pypi")}
        lab = Stage(tmp_path, Server(tmp_path, "", original.url), original.psk, None, kind="pypi")
        lab.write_config()
        files = [write_wheel(python, tmp_path) for python in (OLD, BAD)]
        _, bad = [original.upload(path.name, path.read_bytes(), "pypi") for path in files]
        lab.agent("sync")
        assert page(lab) == GOOD
        original.deprocate(bad)
        lab.agent("sync")
        assert page(lab) == {OLD.wheel_name: False}
