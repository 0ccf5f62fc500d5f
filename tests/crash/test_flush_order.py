"""What a publish writes reaches the disk in an order that a loss of power can't break, shown by its recorded calls."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from packrat_demo.build_deb import Deb
from support.calls import Call, watch
from support.keys import Key
from support.kinds import PYPI
from support.stage import Stage
from support.type_stage import type_stage

POINTERS = ("Packages.gz", "Packages.xz", "Release", "Release.gpg", "InRelease")


def record(lab: Stage, directory: Path, packages: int = 1, text: str = "newer") -> list[Call]:
    """Publish some packages over an older state; gives the calls, those that enter the live tree among them."""
    lab.server.put_deb(Deb("older", "1", "amd64"))
    lab.agent("sync")
    for number in range(packages):
        lab.server.put_deb(Deb(f"newer-{number}", "1", "amd64", (("Description", text),)))
    watched = watch(directory, [lab.www, lab.directory / "state"])
    assert lab.sync(watched.environment()).returncode == 0
    return watched.calls()


def entering(lab: Stage, calls: list[Call]) -> list[tuple[int, Call]]:
    """The renames and links that make something visible to clients, each with its number."""
    hidden = str(lab.www / AGENT_DIR)
    found = [(at, call) for at, call in enumerate(calls) if call.name in ("rename", "link")]
    live = [(at, call) for at, call in found if call.path.startswith(f"{lab.www}/")]
    return [(at, call) for at, call in live if not call.path.startswith(hidden)]


def last(calls: list[Call], fits: Callable[[Call], bool]) -> int:
    """The number of the last call that fits, -1 for none."""
    return max((at for at, call in enumerate(calls) if fits(call)), default=-1)


def unflushed(calls: list[Call]) -> list[Call]:
    """The renames and links whose file was not flushed after it was last written."""
    dirty: set[str] = set()
    found = []
    for call in calls:
        if call.name in ("write", "create", "truncate"):
            dirty.add(call.path)
        elif call.name == "fsync":
            dirty.discard(call.path)
        elif call.name == "syncfs":
            dirty.clear()
        elif call.name in ("rename", "link"):
            if call.source in dirty:
                dirty.add(call.path)
            else:
                dirty.discard(call.path)
            if call.name == "rename":
                dirty.discard(call.source)
                # A directory comes with all that is in it.
                moved = {path for path in dirty if path.startswith(f"{call.source}/")}
                dirty = dirty - moved | {call.path + path.removeprefix(call.source) for path in moved}
            found += [call] if call.path in dirty else []
    return found


def test_a_file_is_flushed_before_the_rename_that_shows_it(lab: Stage, tmp_path: Path) -> None:
    calls = record(lab, tmp_path)
    shown = entering(lab, calls)
    assert len(shown) > len(POINTERS)
    assert not [call for call in unflushed(calls) if call in [entered for _, entered in shown]]


def test_many_files_are_flushed_too(lab: Stage, tmp_path: Path) -> None:
    calls = record(lab, tmp_path, packages=70)
    assert not [call for call in unflushed(calls) if call in [entered for _, entered in entering(lab, calls)]]
    assert sum(call.path.endswith(".deb") for _, call in entering(lab, calls)) == 70


def test_many_pointers_are_flushed_before_the_first_is_shown(key: Key, tmp_path: Path) -> None:
    with type_stage(tmp_path, key, PYPI) as made:
        made.put_many([(f"project{number}", "1.0") for number in range(35)])
        watched = watch(tmp_path, [made.lab.www])
        assert made.lab.sync(watched.environment()).returncode == 0
        calls = watched.calls()
        pages = [call for _, call in entering(made.lab, calls) if call.path.endswith(("index.html", "index.v1_json"))]
        assert len(pages) >= 2 * 35
        assert not [call for call in unflushed(calls) if call in pages]


def test_a_directory_is_flushed_after_the_renames_into_it(lab: Stage, tmp_path: Path) -> None:
    calls = record(lab, tmp_path)
    for at, call in entering(lab, calls):
        parent = str(Path(call.path).parent)
        assert any(later.name == "fsync" and later.path == parent for later in calls[at:]), call


def test_pointers_come_after_the_content_that_they_name_has_reached_the_disk(lab: Stage, tmp_path: Path) -> None:
    calls = record(lab, tmp_path)
    shown = entering(lab, calls)
    pointers = [(at, call) for at, call in shown if Path(call.path).name in POINTERS and "by-hash" not in call.path]
    listed = [call for _, call in shown if "_repo_main/packages/" in call.path]
    # The landing page is published once more, since it says when and how much was published.
    others = [call for _, call in shown if call in listed or Path(call.path) == lab.www / "index.html"]
    content = [(at, call) for at, call in shown if (at, call) not in pointers and call not in others]
    first = pointers[0][0]
    waiting = lab.www / AGENT_DIR / "publishing"
    assert max(at for at, _ in content) < first
    for at, call in content:
        parent = str(Path(call.path).parent)
        assert any(later.name == "fsync" and later.path == parent for later in calls[at:first]), call
    # All of them wait beside the tree; after a loss of power before the first of them, they must still be there.
    ready = last(calls[:first], lambda call: call.name == "rename" and call.path.startswith(f"{waiting}/repo"))
    assert -1 < ready < last(calls[:first], lambda call: call.name == "fsync" and call.path == str(waiting))
    # The one that clients begin with is the last.
    assert Path(pointers[-1][1].path).name == "InRelease"
    names = [Path(call.path).name for _, call in pointers]
    assert names.index("Packages.xz") < names.index("Release") < names.index("InRelease")
    # The list of packages is published after that, its index last.
    assert [Path(call.path).name == "index.json" for call in listed] == [False, True]


def test_the_state_database_knows_on_disk_what_is_about_to_appear(lab: Stage, tmp_path: Path) -> None:
    calls = record(lab, tmp_path)
    first = entering(lab, calls)[0][0]
    written = last(calls[:first], lambda call: call.name == "write" and call.path.endswith("state.db-wal"))
    flushed = last(calls[:first], lambda call: call.name == "fsync" and call.path.endswith("state.db-wal"))
    assert -1 < written < flushed


def test_no_index_on_disk_names_a_file_before_its_garbage_collection(lab: Stage, tmp_path: Path) -> None:
    lab.extra = {"grace_period": "0", "keep_generations": "0"}
    lab.write_config()
    [uri] = lab.server.put_deb(Deb("leaving", "1", "amd64"))
    lab.server.put_deb(Deb("staying", "1", "amd64"))
    lab.agent("sync")
    lab.server.act(uri, "fail")
    watched = watch(tmp_path, [lab.www])
    assert lab.sync(watched.environment()).returncode == 0
    calls = watched.calls()
    collected = [
        at for at, call in enumerate(calls) if call.name == "unlink" and call.path.endswith("leaving_1_amd64.deb")
    ]
    shown = [at for at, call in entering(lab, calls) if call.path.endswith("/InRelease")]
    flushed = last(calls, lambda call: call.name == "fsync" and call.path.endswith("/dists/bookworm"))
    assert shown[-1] < flushed < collected[0]


def test_a_large_index_that_is_written_while_gpg_signs_is_flushed_before(lab: Stage, tmp_path: Path) -> None:
    calls = record(lab, tmp_path, text=os.urandom(400_000).hex())
    ahead = [call for _, call in entering(lab, calls) if Path(call.source).name.startswith("ahead-")]
    assert [Path(call.path).parent.name for call in ahead] == ["SHA256", "SHA256"]
    assert not [call for call in unflushed(calls) if call in ahead]


def test_large_indexes_are_not_written_again_and_again_while_gpg_can_not_sign(lab: Stage, tmp_path: Path) -> None:
    lab.agent("sync")
    lab.server.put_deb(Deb("large", "1", "amd64", (("Description", os.urandom(400_000).hex()),)))
    broken = tmp_path / "broken" / "gpg"
    broken.parent.mkdir()
    broken.write_text(f'#!/bin/sh\ncase "$*" in *--clear-sign*) exit 2 ;; esac\nexec {shutil.which("gpg")} "$@"\n')
    broken.chmod(0o755)
    written = []
    for number in range(4):
        if number == 3:
            lab.server.put_deb(Deb("large", "2", "amd64", (("Description", os.urandom(400_000).hex()),)))
        watched = watch(tmp_path, [lab.www])
        watched.log.unlink(missing_ok=True)
        environment = watched.environment()
        if number < 2:
            environment["PATH"] = f"{broken.parent}:{environment['PATH']}"
        assert (lab.sync(environment).returncode == 0) is (number >= 2)
        written.append(sum(call.name == "create" and "/ahead-" in call.path for call in watched.calls()))
    assert written[1:3] == [0, 0]
    assert written[0] == written[3] > 0
    assert "Package: large" in lab.packages()
