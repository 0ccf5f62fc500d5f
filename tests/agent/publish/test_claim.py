"""claim: one agent a directory and a state database; a directory of somebody else is left alone."""

import json
import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from packrat_agent.publish.claim import check_mounted, check_ownership, claim, refuse_unmanaged
from packrat_core.errors import Busy, DiskError, NotOurs


def test_a_second_agent_is_told_who_holds_the_directory_or_the_state(tmp_path: Path) -> None:
    with claim(tmp_path / "root", tmp_path / "state" / "state.db", "sync"):
        with (
            pytest.raises(Busy, match=rf"root_dir .* in use by process {os.getpid()} on "),
            claim(tmp_path / "root", tmp_path / "other" / "state.db", "sync"),
        ):
            pass
        with (
            pytest.raises(Busy, match=r"the state database .* in use by process"),
            claim(tmp_path / "root2", tmp_path / "state" / "state.db", "sync"),
        ):
            pass
    with claim(tmp_path / "root", tmp_path / "state" / "state.db", "sync") as staging:
        assert staging.is_dir()


def test_the_agents_own_directory_is_closed_to_others(tmp_path: Path) -> None:
    with claim(tmp_path / "root", tmp_path / "state.db", "sync"):
        assert (tmp_path / "root/.packrat-agent").stat().st_mode & 0o777 == 0o700


def own(root: Path, *keep: Path, adopt: bool = False, had_files: bool = False) -> None:
    with claim(root, root.with_name("state") / "state.db", "sync"):
        check_ownership(root, "prod", keep, adopt=adopt, had_files=had_files)


def test_an_empty_directory_is_marked_and_never_asked_about_again(tmp_path: Path) -> None:
    own(tmp_path / "root")
    (tmp_path / "root" / "foreign").write_text("x")
    own(tmp_path / "root")
    assert json.loads((tmp_path / "root/.packrat-agent/mark").read_text())["mirror"] == "prod"


def test_somebody_elses_directory_is_named_and_left_alone_until_adopted(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "index.php").write_text("<?php")
    with pytest.raises(NotOurs, match=r"'index\.php'.*sync --adopt"):
        own(root)
    assert not (root / ".packrat-agent/mark").exists()
    own(root, adopt=True)
    own(root)


def test_the_root_dir_of_another_mirror_is_named_and_left_alone_until_adopted(tmp_path: Path) -> None:
    root = tmp_path / "root"
    own(root)
    mark = root / ".packrat-agent/mark"
    mark.write_text(mark.read_text().replace("prod", "other"))
    with pytest.raises(NotOurs, match=r"root_dir .* is that of mirror 'other'.* mirror 'prod'.*sync --adopt"):
        own(root)
    assert json.loads(mark.read_text())["mirror"] == "other"
    own(root, adopt=True)
    own(root)


def test_a_mirror_that_got_another_name_keeps_its_directory(tmp_path: Path) -> None:
    root = tmp_path / "root"
    own(root)
    mark = root / ".packrat-agent/mark"
    mark.write_text(mark.read_text().replace("prod", "former"))
    own(root, had_files=True)
    own(root)


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense", '{"mirror": ' + "[" * 2000], ids=str.__len__)
def test_a_mark_that_names_no_mirror_is_of_any(tmp_path: Path, content: str) -> None:
    root = tmp_path / "root"
    own(root)
    (root / ".packrat-agent/mark").write_text(content)
    own(root)


def test_keep_files_do_not_make_a_directory_somebody_elses(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "repo-key").write_text("key")
    own(root, root / "repo-key")


def test_a_directory_that_is_suddenly_empty_is_taken_for_unmounted(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="mount its filesystem"):
        own(tmp_path / "root", had_files=True)
    own(tmp_path / "root", had_files=True, adopt=True)


HERE = {"pid": os.getpid(), "host": socket.gethostname(), "command": "run"}


@pytest.mark.parametrize(
    ("holder", "runner"),
    [
        (HERE, os.getpid()),
        (HERE | {"command": "sync"}, None),
        (HERE | {"host": "elsewhere"}, None),
        (HERE | {"pid": 1}, None),
        (HERE | {"pid": -os.getpid()}, None),
    ],
    ids=["run here", "another command", "another host", "another process", "no process"],
)
def test_only_a_run_on_this_host_is_named_as_one_that_can_be_signalled(
    tmp_path: Path, holder: dict[str, object], runner: int | None
) -> None:
    state_db = tmp_path / "state" / "state.db"
    with claim(tmp_path / "root", state_db, "run"):
        state_db.with_name("state.db.lock.holder").write_text(json.dumps(holder))
        with pytest.raises(Busy) as caught, claim(tmp_path / "root2", state_db, "sync"):
            pass
        assert caught.value.runner == runner
        # Others may be able to write to root_dir: nobody is signalled for what stands there.
        (tmp_path / "root/.packrat-agent/lock.holder").write_text(json.dumps(HERE))
        with pytest.raises(Busy, match="root_dir") as caught, claim(tmp_path / "root", tmp_path / "other.db", "sync"):
            pass
        assert caught.value.runner is None


@pytest.mark.parametrize(
    "planted", ["", "[]", '{"pid": 1e999, "host": "x", "command": "run"}', '{"pid": [1]}', "[" * 4000]
)
def test_a_holder_file_that_somebody_spoiled_hides_no_agent_at_work(tmp_path: Path, planted: str) -> None:
    with claim(tmp_path / "root", tmp_path / "state.db", "run"):
        (tmp_path / "root/.packrat-agent/lock.holder").write_text(planted)
        with (
            pytest.raises(Busy, match=r"root_dir .* is in use by another packrat-agent"),
            claim(tmp_path / "root", tmp_path / "other.db", "sync"),
        ):
            pass


def test_a_directory_without_its_mark_is_taken_for_unmounted(tmp_path: Path) -> None:
    own(tmp_path / "root")
    check_mounted(tmp_path / "root")
    (tmp_path / "root/.packrat-agent/mark").unlink()
    with pytest.raises(DiskError, match="no longer has this agent's mark; mount its filesystem"):
        check_mounted(tmp_path / "root")


def test_the_state_of_the_original_agent_is_refused_and_left_alone(tmp_path: Path) -> None:
    state_db = tmp_path / "state.db"
    refuse_unmanaged(tmp_path / "root", state_db, ())
    with closing(sqlite3.connect(state_db)) as db:
        db.executescript("CREATE TABLE control (a); CREATE TABLE repos (a); CREATE TABLE files (a);")
    before = state_db.read_bytes()
    with pytest.raises(NotOurs, match="is that of the original packrat agent, and nothing was touched"):
        refuse_unmanaged(tmp_path / "root", state_db, ())
    assert [path.name for path in tmp_path.iterdir()] == ["state.db"]
    assert state_db.read_bytes() == before


def test_a_new_root_dir_in_that_of_another_mirror_is_refused_and_left_alone(tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    own(outer)
    (outer / "apt" / "dists").mkdir(parents=True)
    for inner in (outer / "inner", outer / "apt" / "dists"):
        with pytest.raises(NotOurs, match=f"root_dir {inner} lies in {outer}, which is the root_dir of"):
            refuse_unmanaged(inner, tmp_path / "state.db", ())
    assert not (outer / "inner").exists()
    refuse_unmanaged(tmp_path / "beside", tmp_path / "state.db", ())
    # What has gone on inside for long goes on.
    own(outer / "inner")
    refuse_unmanaged(outer / "inner", tmp_path / "state.db", ())
