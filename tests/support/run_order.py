"""The order of the files of tests: what takes long begins first, so that no worker is alone at the end."""

import pytest

_FIRST = (
    "daemon/test_soak",
    "clients/test_docs_",
    "clients/test_deb",
    "crash/test_die_anywhere",
    "crash/test_window",
    "agent/formats/test_every_type",
    "daemon/test_moods",
)
"""How the names of files begin that run for a minute or more."""
_FOLDERS = ("crash", "clients", "hostile", "network", "daemon", "project", "server", "agent", "core")
"""Those with long tests before those with many short ones."""


def put_long_first(items: list[pytest.Item]) -> None:
    """Order the tests by their files; those of one file stay in their order."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> tuple[int, int]:
    file = item.nodeid.partition("::")[0].removeprefix("tests/")
    folder = file.partition("/")[0]
    first = next((at for at, begins in enumerate(_FIRST) if file.startswith(begins)), len(_FIRST))
    return first, _FOLDERS.index(folder) if folder in _FOLDERS else len(_FOLDERS)
