"""belongings: which package file a path belongs to, also where the mirror has very many repositories and files."""

import time
from types import SimpleNamespace
from typing import Any

from packrat_agent.model.records import Repo
from packrat_agent.sync.belongings import find_owners

_WHEEL = "packages/tool/tool-1.0-py3-none-any.whl"


def _store(*directories: str) -> Any:
    repos = tuple(Repo(f"repo-{at}", "", directory, "pypi", ()) for at, directory in enumerate(directories))
    return SimpleNamespace(repos=SimpleNamespace(all=lambda: repos))


def test_an_owner_lies_in_the_repository_whose_directory_is_on_the_way() -> None:
    store = _store("python", "deep/er/python", "python-more")
    inside = [f"{directory}/{_WHEEL}" for directory in ("python", "deep/er/python", "python-more")]
    outside = [_WHEEL, f"pythonic/{_WHEEL}", f"deep/{_WHEEL}", f"deep/er/{_WHEEL}", f"/python/{_WHEEL}"]
    paths = [f"{path}.metadata" for path in (*inside, *outside)]
    assert find_owners(store, paths) == {f"{path}.metadata": path for path in inside}


def test_a_repository_in_root_dir_itself_has_all_paths() -> None:
    assert find_owners(_store(""), [f"{_WHEEL}.metadata", "top.txt"]) == {f"{_WHEEL}.metadata": _WHEEL}


def test_many_paths_are_found_in_many_repositories() -> None:
    store = _store(*(f"python-{number}" for number in range(2000)))
    paths = [f"python-{number % 2000}/packages/x/nobody-{number}.txt" for number in range(100_000)]
    began = time.process_time()
    assert find_owners(store, paths) == {}
    # It is done in a tenth of a second; to hold each path against each repository takes more than ten.
    assert time.process_time() - began < 3
