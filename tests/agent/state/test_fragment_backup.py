"""keepsake: what was made of a file comes back whole or not at all, and leads nowhere else."""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.model.entries import Fragment, Product
from packrat_agent.state.fragment_backup import MADE_DIR, _checksum, drop, keep, recall
from packrat_agent.state.fragments import FragmentSource

SHA, OTHER = "a" * 64, "b" * 64
YUM = FragmentSource("yum", 1, "F" * 40)
SIGNED = Fragment(b"\0body\xff", "hello", "1.0-1", "x86_64", (Product("", "c" * 64, 12),), size=7)
BLOBS = (Product("blobs/sha256:" + "d" * 64, "d" * 64, 0), Product("a", "e" * 64, 1))
IMAGE = Fragment(b"", "web", "1", "all", BLOBS, size=9)


def place(root: Path, source: FragmentSource = YUM, sha256: str = SHA) -> Path:
    return root / MADE_DIR / f"{source.kind}-{source.version}-{source.signer or 'none'}" / f"{sha256}.json"


def recalled(root: Path, source: FragmentSource = YUM) -> Fragment | None:
    return recall(root, source, [SHA]).get(SHA)


@pytest.mark.parametrize("fragment", [SIGNED, IMAGE])
def test_what_is_kept_comes_back(tmp_path: Path, fragment: Fragment) -> None:
    keep(tmp_path, YUM, {SHA: fragment})
    assert recalled(tmp_path) == fragment
    assert [path.name for path in place(tmp_path).parent.iterdir()] == [f"{SHA}.json"]
    assert recall(tmp_path, YUM, [OTHER]) == {}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=20), st.integers(0, 2**60))
def test_any_body_and_any_text_comes_back(body: bytes, text: str, size: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        fragment = Fragment(body, text, text, text, (Product("", "c" * 64, size),), size=size)
        keep(Path(root), YUM, {SHA: fragment})
        assert recall(Path(root), YUM, [SHA]) == {SHA: fragment}


@pytest.mark.parametrize("source", [replace(YUM, signer=""), replace(YUM, version=2), replace(YUM, kind="docker")])
def test_it_is_of_one_format_version_and_key(tmp_path: Path, source: FragmentSource) -> None:
    keep(tmp_path, YUM, {SHA: SIGNED})
    assert recalled(tmp_path, source) is None
    keep(tmp_path, source, {SHA: IMAGE})
    assert recalled(tmp_path, source) == IMAGE


@pytest.mark.parametrize("products", [(), (Product(".metadata", "c" * 64, 1, beside=True),)])
def test_what_is_published_itself_needs_no_keepsake(tmp_path: Path, products: tuple[Product, ...]) -> None:
    keep(tmp_path, YUM, {SHA: replace(SIGNED, products=products)})
    assert not (tmp_path / MADE_DIR).exists()


def test_nothing_is_written_twice(tmp_path: Path) -> None:
    keep(tmp_path, YUM, {SHA: SIGNED})
    before = place(tmp_path).stat()
    keep(tmp_path, YUM, {SHA: SIGNED})
    assert place(tmp_path).stat() == before


def test_only_what_is_still_wanted_stays(tmp_path: Path) -> None:
    keep(tmp_path, YUM, {SHA: SIGNED, OTHER: SIGNED})
    keep(tmp_path, replace(YUM, signer=""), {SHA: SIGNED, OTHER: SIGNED})
    torn = place(tmp_path).with_suffix(".new")
    torn.write_text("{")
    (place(tmp_path).parent / "directory").mkdir()
    drop(tmp_path, {SHA}, [YUM])
    assert recalled(tmp_path) == SIGNED
    assert sorted(path.name for path in (tmp_path / MADE_DIR).rglob("*") if path.is_file()) == [f"{SHA}.json"]
    drop(tmp_path / "nowhere", set(), [YUM])


def alter(path: Path, change: Callable[[dict[str, Any]], object], *, checksum: bool = True) -> None:
    """Change a keepsake as somebody would who knows how it is made."""
    record = json.loads(path.read_text())
    change(record)
    if checksum:
        record.pop("checksum", None)
        record["checksum"] = _checksum(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["products"].append(["../x", "c" * 64, 1, False]),
        lambda r: r["products"].append(["/etc/x", "c" * 64, 1, False]),
        lambda r: r["products"].append(["a//b", "c" * 64, 1, False]),
        lambda r: r["products"].append(["a/./b", "c" * 64, 1, False]),
        lambda r: r["products"].append(["a\0b", "c" * 64, 1, False]),
        lambda r: r["products"].append(["/../x", "c" * 64, 1, True]),
        lambda r: r["products"].append(["", "c" * 64, 1, True]),
        lambda r: r["products"].append([1, "c" * 64, 1, False]),
        lambda r: r["products"].append(["a", "c" * 63, 1, False]),
        lambda r: r["products"].append(["a", "c" * 64, -1, False]),
        lambda r: r["products"].append(["a", "c" * 64, "1", False]),
        lambda r: r["products"].append(["a", "c" * 64, 1, 0]),
        lambda r: r["products"].append(["a", "c" * 64]),
        lambda r: r.update(products=5),
        lambda r: r.update(size=None),
        lambda r: r.update(name=["hello"]),
        lambda r: r.update(body="!"),
        lambda r: r.update(sha256=OTHER),
        lambda r: r.pop("arch"),
    ],
)
def test_what_is_not_as_it_is_written_is_ignored(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    keep(tmp_path, YUM, {SHA: SIGNED})
    alter(place(tmp_path), lambda record: None)
    assert recalled(tmp_path) == SIGNED
    alter(place(tmp_path), change)
    assert recalled(tmp_path) is None


def test_a_flipped_bit_is_seen(tmp_path: Path) -> None:
    keep(tmp_path, YUM, {SHA: SIGNED})
    alter(place(tmp_path), lambda record: record.update(name="hellp"), checksum=False)
    assert recalled(tmp_path) is None


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.integers(0, 300)))
def test_torn_files_and_nonsense_are_ignored(data: bytes | int) -> None:
    with tempfile.TemporaryDirectory() as root:
        keep(Path(root), YUM, {SHA: SIGNED})
        path = place(Path(root))
        whole = path.read_bytes()
        path.write_bytes(whole[:data] if isinstance(data, int) else data)
        assert recalled(Path(root)) is None or path.read_bytes().strip() == whole.strip()


def test_links_pipes_and_nests_are_ignored(tmp_path: Path) -> None:
    keep(tmp_path, YUM, {SHA: SIGNED})
    path = place(tmp_path)
    aside = tmp_path / "aside"
    path.rename(aside)
    path.symlink_to(aside)
    assert recalled(tmp_path) is None
    path.unlink()
    os.mkfifo(path)
    assert recalled(tmp_path) is None
    path.unlink()
    path.write_text("[" * 100_000)
    assert recalled(tmp_path) is None
