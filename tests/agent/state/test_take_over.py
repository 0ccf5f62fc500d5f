"""What a former key has signed is taken over by the key that signs now, and given up when that key is not accepted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.model.entries import Fragment, Product
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.store import Store

OLD, NEW = FragmentSource("yum", 1, "OLD"), FragmentSource("yum", 1, "NEW")
PACKAGE, PUBLISHED_AS_IT_IS = "a" * 64, "b" * 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The old key has signed one package file; another one is published as it is."""
    made = Store(tmp_path / "state.db")
    signed = Fragment(b"body", "hello", "1", "noarch", (Product("", "c" * 64, 9),), size=8)
    made.fragments.save(OLD, {PACKAGE: signed, PUBLISHED_AS_IT_IS: Fragment(b"x", "x", "1", "noarch", size=1)})
    made.fragments.note_backups(OLD, {PACKAGE: "d" * 64})
    yield made
    made.close()


def maker(store: Store, source: FragmentSource) -> str | None:
    fragment = store.fragments.read(source, PACKAGE)
    return fragment.made_by if fragment is not None else None


def test_a_signed_copy_is_taken_over_with_the_name_of_its_signer(store: Store) -> None:
    store.fragments.take_over("NEW", ["OLD"])
    taken = store.fragments.read(NEW, PACKAGE)
    assert taken is not None
    assert (taken.products, taken.made_by) == ((Product("", "c" * 64, 9),), "OLD")
    # Its backup is written under the new key's name.
    assert store.fragments.backups([NEW]) == {NEW: {}}
    assert store.fragments.read(NEW, PUBLISHED_AS_IT_IS) is not None
    store.fragments.take_over("NEW", ["OLD"])
    assert maker(store, NEW) == "OLD"


def test_files_made_by_the_new_key_stay(store: Store) -> None:
    own = Fragment(b"body", "hello", "1", "noarch", (Product("", "e" * 64, 9),), size=8)
    store.fragments.save(NEW, {PACKAGE: own})
    store.fragments.take_over("NEW", ["OLD"])
    assert store.fragments.read(NEW, PACKAGE) == own


def test_the_way_back_finds_each_signer_again(store: Store) -> None:
    by_new, by_old = "f" * 64, "9" * 64
    made = Fragment(b"b", "n", "1", "noarch", (Product("", "8" * 64, 9),), size=8)
    store.fragments.save(NEW, {by_new: made, by_old: replace(made, made_by="OLD")})
    store.fragments.take_over("OLD", ["NEW"])
    found = {sha256: store.fragments.read(OLD, sha256) for sha256 in (by_new, by_old)}
    assert {sha256: read and read.made_by for sha256, read in found.items()} == {by_new: "NEW", by_old: ""}


def test_a_key_that_is_accepted_no_more_takes_its_packages_with_it(store: Store) -> None:
    store.fragments.take_over("NEW", ["OLD"])
    store.fragments.take_over("NEW", [])
    assert maker(store, NEW) is None
    assert maker(store, OLD) == ""


def test_a_third_key_takes_over_only_what_an_accepted_key_has_signed(store: Store) -> None:
    store.fragments.take_over("NEW", ["OLD"])
    store.fragments.take_over("NEXT", ["NEW"])
    assert maker(store, FragmentSource("yum", 1, "NEXT")) is None
    store.fragments.take_over("NEXT", ["NEW", "OLD"])
    assert maker(store, FragmentSource("yum", 1, "NEXT")) == "OLD"
