"""The repository types, by the name that the server uses.

The modules of a type are imported when its format is first asked for: most mirrors have one type or two, and those of
all take a fifth of the time in which a command starts. `run` imports all of them at once: it may meet with a new type
weeks later, when another version of this program is installed.
"""

from collections.abc import Callable, Iterator, Mapping

from packrat_agent.formats.interface import Format


def _apt() -> Format:
    from packrat_agent.formats.apt.format import AptFormat

    return AptFormat()


def _docker() -> Format:
    from packrat_agent.formats.docker.format import DockerFormat

    return DockerFormat()


def _json() -> Format:
    from packrat_agent.formats.json.format import FilesFormat

    return FilesFormat()


def _pypi() -> Format:
    from packrat_agent.formats.pypi.format import PypiFormat

    return PypiFormat()


def _yum() -> Format:
    from packrat_agent.formats.yum.format import YumFormat

    return YumFormat()


class _Formats(Mapping[str, Format]):
    """Formats that are made when they are first asked for; which there are is known before."""

    def __init__(self, makers: Mapping[str, Callable[[], Format]]) -> None:
        self._makers = makers
        self._made: dict[str, Format] = {}

    def __getitem__(self, kind: str) -> Format:
        form = self._made.get(kind)
        if form is None:
            # Two threads may both make one: they are alike.
            form = self._made[kind] = self._makers[kind]()
        return form

    def __contains__(self, kind: object) -> bool:
        return kind in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


FORMATS: Mapping[str, Format] = _Formats({"apt": _apt, "docker": _docker, "json": _json, "pypi": _pypi, "yum": _yum})
