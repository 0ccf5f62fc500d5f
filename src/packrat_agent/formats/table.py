"""The repository types, by the name that the server uses."""

from collections.abc import Mapping

from packrat_agent.formats.apt.format import AptFormat
from packrat_agent.formats.docker.format import DockerFormat
from packrat_agent.formats.interface import Format
from packrat_agent.formats.json.format import FilesFormat
from packrat_agent.formats.pypi.format import PypiFormat
from packrat_agent.formats.yum.format import YumFormat

FORMATS: Mapping[str, Format] = {
    form.kind: form for form in (AptFormat(), DockerFormat(), FilesFormat(), PypiFormat(), YumFormat())
}
