"""Every tree that a client can meet while the agent publishes, and every way to spread its requests over them.

A publication is recorded as the calls of the real agent that change the live tree (`calls.py`). Each prefix of these is
a state of the tree. A client sends requests one after the other, and any number of changes may happen in between, so it
reads each file in the same state as the one before, or in a later one. `every_run` goes through all such runs. There
are few: two states in which a file has the same bytes are the same to the client that reads it.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packrat_agent.config.settings import AGENT_DIR
from support.calls import Call, watch
from support.stage import Stage

Get = Callable[[str], bytes]
"""A path below root_dir → the bytes there; raises KeyError where there is no file."""

Client = Callable[[Get], None]
"""Asks for files as a client does; raises AssertionError or KeyError where the client fails."""


@dataclass(frozen=True, slots=True)
class State:
    """The live tree at a moment: path → the bytes of a file, or the target of a link."""

    files: Mapping[str, bytes | str]

    def get(self, path: str) -> bytes | None:
        """The bytes at a path, links followed; None if there is no file."""
        parts = path.split("/")
        for at in range(1, len(parts) + 1):
            found = self.files.get("/".join(parts[:at]))
            if isinstance(found, str):
                led = os.path.normpath("/".join([*parts[: at - 1], found, *parts[at:]]))
                return self.get(led)
            if found is not None:
                return found if at == len(parts) else None
        return None

    def without(self, path: str) -> "State":
        """The same without a file."""
        return State({name: said for name, said in self.files.items() if name != path})

    def write(self, directory: Path) -> None:
        """Make a directory of it, in place of what is there."""
        shutil.rmtree(directory, ignore_errors=True)
        for path, said in self.files.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(said, str):
                target.symlink_to(said)
            else:
                target.write_bytes(said)


def look(root: Path) -> State:
    """Read the live tree."""
    files: dict[str, bytes | str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.split("/", maxsplit=1)[0] == AGENT_DIR or stat.S_ISDIR(path.lstat().st_mode):
            continue
        files[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes()
    return State(files)


def record(lab: Stage, directory: Path) -> list[State]:
    """Sync; gives the tree before and after each change that the agent makes to it."""
    before = look(lab.www)
    directory.mkdir()
    watched = watch(directory, [lab.www])
    done = lab.sync(watched.environment())
    assert done.returncode == 0, done.stderr
    after = look(lab.www)
    states = [before]
    for call in watched.calls():
        changed = _change(states[-1], call, lab.www, after)
        if changed is not None:
            states.append(changed)
    # Nothing escaped the record.
    assert states[-1] == after
    assert len(states) > 1
    return states


def _change(state: State, call: Call, root: Path, after: State) -> State | None:
    """The tree after a call; None if no client can see a difference."""
    path = call.path.removeprefix(f"{root}/")
    if call.refused or path == call.path or path.split("/")[0] == AGENT_DIR:
        return None
    if call.name == "unlink":
        return State({name: said for name, said in state.files.items() if name != path})
    # Nothing is written in place: what a client has open never changes.
    assert call.name not in ("write", "truncate", "create"), call
    if call.name in ("rename", "link"):
        # A path is replaced once in a sync, so what stands there now is what it got.
        return State({**state.files, path: after.files[path]})
    return None


@dataclass(frozen=True, slots=True)
class Run:
    """How a client fared: each path that it asked for with the state that it met there, and why it failed."""

    asked: tuple[tuple[str, int], ...]
    failure: str | None

    def latest(self, states: Sequence[State]) -> list[tuple[str, int]]:
        """The same answers, each as late as it is to be had: a client meets the most of what changes."""
        plan: list[tuple[str, int]] = []
        limit = len(states) - 1
        for path, state in reversed(self.asked):
            met = states[state].get(path)
            limit = max(later for later in range(state, limit + 1) if states[later].get(path) == met)
            plan.append((path, limit))
        return plan[::-1]


def every_run(client: Client, states: Sequence[State]) -> Iterator[Run]:
    """Go through all runs of a client that differ in what it reads; each has one that stands for those like it.

    Of the states that give a client the same answer the earliest is taken, from which most others can follow.
    """
    waiting: list[tuple[int, ...]] = [()]
    while waiting:
        chosen = list(waiting.pop())
        asked: list[tuple[str, int]] = []

        def get(path: str, chosen: list[int] = chosen, asked: list[tuple[str, int]] = asked) -> bytes:
            number = len(asked)
            if number == len(chosen):
                first, *others = _differing(path, states, chosen[-1] if chosen else 0)
                waiting.extend((*chosen, other) for other in others)
                chosen.append(first)
            asked.append((path, chosen[number]))
            found = states[chosen[number]].get(path)
            if found is None:
                raise KeyError(path)
            return found

        failure = None
        try:
            client(get)
        except (AssertionError, KeyError) as error:
            failure = f"{type(error).__name__}: {error}"
        yield Run(tuple(asked), failure)


def _differing(path: str, states: Sequence[State], start: int) -> list[int]:
    """The first of the states, from one on, in which each content of the path is met."""
    found: dict[bytes | None, int] = {}
    for number in range(start, len(states)):
        found.setdefault(states[number].get(path), number)
    return list(found.values())
