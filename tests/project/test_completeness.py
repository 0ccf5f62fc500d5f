"""A repository type is a row per layer: this says which layer lacks a row of which type.

docs/adding-a-type.md says what belongs into each row.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from packrat_agent.formats.table import FORMATS
from packrat_agent.verify.tree import AUDITORS
from packrat_core.packages.repository_types import REPOSITORY_TYPES, TYPE_NAMES
from packrat_demo.table import DEMO_TYPES
from packrat_server.admin import new_server
from packrat_server.api.schema import MODELS
from support.kinds import KINDS
from support.misfits import MISFITS
from support.type_clients import CLIENTS

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

LAYERS: Mapping[str, Collection[str]] = {
    "FORMATS in packrat_agent/formats/table.py": FORMATS,
    "AUDITORS in packrat_agent/verify/tree.py": AUDITORS,
    "samples in packrat_demo/table.py": {kind for kind, shown in DEMO_TYPES.items() if shown.samples},
    "proofs in packrat_demo/table.py": {kind for kind, shown in DEMO_TYPES.items() if shown.proofs},
    "REPOSITORY_TYPES in packrat_core/packages/repository_types.py": REPOSITORY_TYPES,
    "KINDS in tests/support/kinds.py": {kind.name for kind in KINDS},
    "MISFITS in tests/support/misfits.py": MISFITS,
    "CLIENTS in tests/support/type_clients.py": CLIENTS,
    "a folder in packrat_agent/formats": {path.parent.name for path in SRC.glob("packrat_agent/formats/*/format.py")},
    "a page in docs": {kind for kind in FORMATS if (ROOT / f"docs/{kind}.md").exists()},
    "a row in README.md": {kind for kind in FORMATS if f"docs/{kind}.md" in (ROOT / "README.md").read_text()},
}


def missing(layers: Mapping[str, Collection[str]]) -> list[str]:
    """Say what is missing in which layer."""
    every = {kind for kinds in layers.values() for kind in kinds}
    return [f"{kind}: {layer}" for kind in sorted(every) for layer, kinds in layers.items() if kind not in kinds]


def test_every_layer_has_a_row_for_every_type() -> None:
    assert missing(LAYERS) == []


@pytest.mark.parametrize("layer", LAYERS)
def test_a_row_that_lacks_is_named(layer: str) -> None:
    lacking = {name: {*kinds} - {"docker"} if name == layer else kinds for name, kinds in LAYERS.items()}
    assert missing(lacking) == [f"docker: {layer}"]


def test_a_new_server_knows_the_distribution_versions_of_every_type() -> None:
    seeded = {name for name, *_ in new_server.DISTRO_VERSIONS}
    assert {kind for kind, shown in DEMO_TYPES.items() if not seeded >= set(shown.distro_versions)} == set()
    assert {kind for kind, known in REPOSITORY_TYPES.items() if known.distro_version not in {None, *seeded}} == set()


def test_the_server_names_the_types_as_the_api_does() -> None:
    assert TYPE_NAMES == ("apt", "yum", "yast", "json", "docker", "pypi")
    pairs = [["apt", "APT"], ["yum", "YUM"], ["json", "JSON"], ["docker", "Docker"], ["pypi", "PyPi"]]
    assert MODELS["/api/v2/Repo/Repo"].constants["manager_type"] == pairs


def test_each_format_is_called_as_its_folder() -> None:
    for kind, form in FORMATS.items():
        assert form.kind == kind
        assert type(form).__module__ == f"packrat_agent.formats.{kind}.format"
