"""build: what is read for an index is read from the bytes of the record, wherever they lie."""

import hashlib
from pathlib import Path

import pytest

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Placement, Plan
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.sync.build import Made, Material, make
from support.kinds import KINDS, Kind

REPO = Repo("dev", "", "dev", "", ())


def build(tmp_path: Path, kind: Kind, *, is_staged: bool, forged: bool) -> Made:
    """Make what is published of a package file that is in staging, or in its place since the database was lost."""
    name, data = kind.build("hello", "1", kind.arches[0], b"genuine")
    _, other = kind.build("hello", "1", kind.arches[0], b"forged!")
    sha256 = hashlib.sha256(data).hexdigest()
    staging = tmp_path / "staging"
    staging.mkdir()
    (tmp_path / "dev").mkdir()
    path = staging / sha256 if is_staged else tmp_path / "dev" / name
    path.write_bytes(other if forged else data)
    arch = kind.arches[0]
    record = PackageFile("/f/1", "hello", "x", "1", kind.name, arch, "/files/1", name, sha256)
    placement = Placement(record, f"dev/{name}")
    staged = {sha256: path} if is_staged else {}
    fetch, keep = ((placement,), ()) if is_staged else ((), (placement,))
    parts = {} if is_staged else {record.uri: {placement.path: sha256}}
    plan = Plan(REPO, keep, fetch, (), (), (), parts, {}, {})
    return make(plan, FORMATS[kind.name], None, Material(tmp_path, staging, staged, {}, {}, {}, {}))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("is_staged", [True, False])
def test_other_bytes_of_the_same_size_are_fetched_again(tmp_path: Path, kind: Kind, is_staged: bool) -> None:
    if kind.name == "docker" and not is_staged:
        pytest.skip("an image is not published itself")
    made = build(tmp_path, kind, is_staged=is_staged, forged=True)
    assert made.entries == []
    assert made.fresh == {}
    [failed] = made.failed
    assert "other bytes" in failed.reason
    # The package file itself is not at fault.
    assert made.unreadable == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_bytes_of_the_record_are_read(tmp_path: Path, kind: Kind) -> None:
    made = build(tmp_path, kind, is_staged=True, forged=False)
    assert not made.failed
    assert not made.unreadable
    assert len(made.fresh) == 1
