"""The names of directories take bounded memory and time, however many of them an archive has in one another."""

import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from packrat_core.archives.limits import MEMBERS_LIMIT
from packrat_core.archives.member_names import MetadataNames
from packrat_core.archives.tar import TarKind, TarMember, UnpackedNames
from packrat_core.errors import Refused

MIB = 1024 * 1024


def in_tar(names: UnpackedNames, name: str, target: str = "") -> None:
    kind = TarKind.SYMBOLIC_LINK if target else TarKind.FILE
    names.add(TarMember(name, kind, 0, 0, target))


@contextmanager
def in_memory(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def deep(number: int) -> str:
    return f"{number}.dist-info/" + "a/" * 1900 + "b"


@pytest.mark.parametrize(
    "add",
    [
        lambda tar, _wheel, number: in_tar(tar, deep(number)),
        lambda tar, _wheel, number: in_tar(tar, f"l{number}", "a/" * 1000 + "../" * 1000),
        lambda _tar, wheel, number: wheel.add(deep(number)),
    ],
)
def test_many_directories_in_one_another_are_refused(
    add: Callable[[UnpackedNames, MetadataNames, int], None],
) -> None:
    tar, wheel = UnpackedNames(), MetadataNames(re.compile(r"[^/]+\.dist-info(/.*)?"))
    with in_memory(200 * MIB), pytest.raises(Refused, match="directories are nested too deeply"):
        for number in range(500):
            add(tar, wheel, number)


def test_a_name_in_metadata_has_a_limit() -> None:
    names = MetadataNames(re.compile(r"[^/]+\.dist-info(/.*)?"))
    with in_memory(MIB), pytest.raises(Refused, match="a name of 65011 characters, the limit is 4096"):
        names.add("x.dist-info/" + "a/" * 32_500)


def test_a_large_archive_passes() -> None:
    names = UnpackedNames()
    for number in range(MEMBERS_LIMIT):
        directory = f"project-1.0/src/package/with/some/more/directories/and/long-words/{number // 5}/{'x' * 40}"
        in_tar(names, f"{directory}/{number}", "../../0/file" if number % 4 == 0 else "")
