"""The lists of packages that the landing page searches are those that their index names, each as it says."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.verify.findings import Fault, Named, Subject
from packrat_agent.verify.package_lists import audit_list, find_lost_lists

LISTED = '[["apt", [["1.0", "bookworm", "amd64"], ["0.9", "bookworm", "amd64"]]], ["zlib", [["3", "", "all"]]]]'
HERE = "apt-dev/_repo_main/packages"

Change = Callable[[dict[str, Any], dict[str, Any]], object]


def write_list(top: Path, change: Change) -> None:
    """Write a list of one shard; `change` gets what the index and the shard say."""
    shard: dict[str, Any] = {"packages": json.loads(LISTED)}
    index: dict[str, Any] = {"packages": 2, "shards": [["apt", "", 0, 2]]}
    change(index, shard)
    data = json.dumps(shard).encode()
    digest = hashlib.sha256(data).hexdigest()
    for row in index["shards"]:
        row[1:3] = [digest, len(data)]
    (top / HERE).mkdir(parents=True)
    (top / HERE / f"{digest}.json").write_bytes(data)
    (top / HERE / "index.json").write_text(json.dumps(index, separators=(",", ":")) + "\n")


def find_wrong(top: Path) -> list[str]:
    """Audit the list; gives what is wrong with it."""
    wrong = []
    for finding in audit_list(Subject(top, None), "apt-dev"):
        if isinstance(finding, Fault):
            wrong.append(finding.what)
        elif isinstance(finding, Named) and finding.read is not None:
            with (top / finding.path).open("rb") as file:
                # As after the bytes were hashed.
                file.read()
                found = finding.read(file)
            wrong += [found] if found is not None else []
    return wrong


def name_shards(*firsts: str) -> Change:
    """Let the index name its shard once for each of these first packages."""

    def change(index: dict[str, Any], _: dict[str, Any]) -> None:
        index.update(packages=2 * len(firsts), shards=[[first, "", 0, 2] for first in firsts])

    return change


@pytest.mark.parametrize("change", [lambda *_: None, name_shards("apt", "zlib"), name_shards()])
def test_a_list_as_the_agent_writes_it_is_right(tmp_path: Path, change: Change) -> None:
    write_list(tmp_path, change)
    assert find_wrong(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda index, _: index.update(packages=3), "is not a list of shards"),
        (name_shards("apt", "apt"), "is not a list of shards"),
        (name_shards("zlib", "apt"), "is not a list of shards"),
        (lambda index, _: index.update(more=1), "is not a list of shards"),
        (lambda _, shard: shard["packages"].pop(), "does not list the 2 packages that its index says"),
        (lambda _, shard: shard.update(more=1), "does not list the 2 packages that its index says"),
        (lambda _, shard: shard["packages"][1][1][0].pop(), "does not list the 2 packages that its index says"),
        (lambda index, _: index["shards"][0].__setitem__(0, "../b"), "begins with '../b', which is not a package"),
    ],
    ids=[
        "count",
        "twice",
        "order",
        "index has more",
        "package gone",
        "shard has more",
        "short version",
        "first is a path",
    ],
)
def test_a_list_that_says_something_else_is_found(tmp_path: Path, change: Change, told: str) -> None:
    write_list(tmp_path, change)
    assert find_wrong(tmp_path) == [told]


def test_a_list_that_is_lost_is_found(tmp_path: Path) -> None:
    page = f'<section id="repository-apt-dev" data-packages="./{HERE}">'
    subject = Subject(tmp_path, None)
    assert list(find_lost_lists(subject, page)) == [Fault(HERE, "is missing, though index.html searches it")]
    write_list(tmp_path, lambda *_: None)
    assert list(find_lost_lists(subject, page)) == []
    assert list(find_lost_lists(subject, '<section id="repository-apt-dev">')) == []
    (tmp_path / HERE / "index.json").unlink()
    assert list(find_lost_lists(subject, page)) == [Fault(HERE, "is missing, though index.html searches it")]


def test_shards_whose_index_is_not_live_yet_are_no_fault(tmp_path: Path) -> None:
    write_list(tmp_path, lambda *_: None)
    (tmp_path / HERE / "index.json").unlink()
    assert find_wrong(tmp_path) == []


def test_an_index_that_can_not_be_read_is_a_fault(tmp_path: Path) -> None:
    write_list(tmp_path, lambda *_: None)
    (tmp_path / HERE / "index.json").unlink()
    (tmp_path / HERE / "index.json").mkdir()
    assert find_wrong(tmp_path) == ["can't be read: is not a regular file"]


def test_a_list_that_can_not_be_looked_at_is_found(tmp_path: Path) -> None:
    name = "x" * 300
    page = f'<section id="repository-apt-dev" data-packages="./{name}">'
    assert list(find_lost_lists(Subject(tmp_path, None), page)) == [
        Fault(name, "can't be looked at: File name too long")
    ]
