"""A repository type is a row per layer: this says which layer lacks a row of which type.

docs/adding-a-type.md says what belongs into each row.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from formats.kinds import KINDS
from formats.misfits import MISFITS
from formats.type_clients import CLIENTS
from packrat_agent.formats.table import FORMATS
from packrat_agent.verify.tree import AUDITORS
from packrat_demo.packages import DISTRO_VERSIONS, SAMPLES
from packrat_demo.proofs import PROOFS
from packrat_server import admin, seed

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

SECOND_NAMES = {"yast": "yum"}
"""What the server also calls a type that has rows under its first name."""

LAYERS: Mapping[str, Collection[str]] = {
    "FORMATS in packrat_agent/formats/table.py": FORMATS,
    "AUDITORS in packrat_agent/verify/tree.py": AUDITORS,
    "SAMPLES in packrat_demo/packages.py": SAMPLES,
    "PROOFS in packrat_demo/proofs.py": PROOFS,
    "KINDS in packrat_server/admin.py": {SECOND_NAMES.get(kind, kind) for kind in admin.KINDS},
    "KINDS in tests/formats/kinds.py": {kind.name for kind in KINDS},
    "MISFITS in tests/formats/misfits.py": MISFITS,
    "CLIENTS in tests/formats/type_clients.py": CLIENTS,
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
    seeded = {name for name, *_ in seed.DISTRO_VERSIONS}
    lacking = {kind: names for kind in SAMPLES if not seeded >= set(names := DISTRO_VERSIONS[kind])}
    assert lacking == {}


def test_each_format_is_called_as_its_folder() -> None:
    for kind, form in FORMATS.items():
        assert form.kind == kind
        assert type(form).__module__ == f"packrat_agent.formats.{kind}.format"
