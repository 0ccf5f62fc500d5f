"""A pass of some packages leaves alone what the index names beside them."""

from packrat_agent.model.entries import Entry, Fragment, Placement, Product
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.state.file_rows import Uris
from packrat_agent.sync.last_renders import LastRender
from packrat_agent.sync.planning.index_entries import IndexEntries
from packrat_agent.sync.planning.scope import narrow

REPO = Repo("r", "R", "r", "docker", ())


def entry(package: str, *products: str) -> Entry:
    file = PackageFile(f"/uri/{package}", package, "docker", "1", "docker", "all", "/files/x", "x", package[0] * 64)
    made = tuple(Product(f"blobs/{letter}", letter * 64, 1) for letter in products)
    return Entry(file, "v2/shared", Fragment(b"", package, "1", "all", made, size=1))


ONE, TWO, THREE = entry("one", "a", "b"), entry("two", "b", "c"), entry("three")
LEFT = LastRender(IndexEntries(REPO, [ONE, TWO, THREE]), frozenset({"three"}), {})


def test_the_named_packages_and_those_with_refused_files_are_looked_at() -> None:
    scope = narrow(REPO, ["two"], LEFT)
    assert scope.packages == frozenset({"two", "three"})
    assert sorted(scope.before, key=lambda entry: entry.file.record_order) == [TWO, THREE]
    assert set(scope.claims()) == {"r/v2/shared/blobs/a", "r/v2/shared/blobs/b"}


def test_without_names_or_without_what_was_left_everything_is_looked_at() -> None:
    for scope in (narrow(REPO, None, LEFT), narrow(REPO, ["two"], None)):
        assert (scope.packages, list(scope.before), scope.paths([], {})) == (None, [], None)


def test_paths_needed_by_standing_entries_are_shared_and_claimed() -> None:
    scope = narrow(REPO, ["two"], LEFT)
    assert scope.shared(["r/v2/shared/blobs/b", "r/v2/shared/blobs/c"]) == {"r/v2/shared/blobs/b"}
    assert scope.claims() == {"r/v2/shared/blobs/a": "a" * 64, "r/v2/shared/blobs/b": "b" * 64}


def test_the_decision_depends_on_where_the_packages_stand_and_where_they_are_to_stand() -> None:
    scope = narrow(REPO, ["two"], LastRender(IndexEntries(REPO, [ONE, TWO]), frozenset(), {}))
    new, parts = Placement(THREE.file, "r/v2/new"), {THREE.file.uri: {"r/v2/new/blobs/d": "d" * 64}}
    old = frozenset({"r/v2/shared/blobs/b", "r/v2/shared/blobs/c"})
    assert scope.paths([new], parts) == old | {"r/v2/new", "r/v2/new/blobs/d"}


def test_only_the_touched_files_of_a_package_are_looked_at() -> None:
    left = LastRender(IndexEntries(REPO, [ONE, TWO, THREE]), frozenset(), {})
    touched = frozenset({TWO.file.uri, "/uri/new"})
    scope = narrow(REPO, ["two"], left, touched)
    assert (scope.packages, scope.files, list(scope.before)) == (frozenset({"two"}), Uris(touched), [TWO])
    assert narrow(REPO, ["two"], left, frozenset({"/uri/new"})).before == []
    # What was refused before is looked at again, and that is known by its package alone.
    assert narrow(REPO, ["two"], LEFT, touched).files == frozenset({"two", "three"})
    assert narrow(REPO, ["two"], None, touched).files is None


def test_live_files_as_the_index_has_them_are_not_planned_again() -> None:
    scope = narrow(REPO, ["one", "two"], LEFT)
    one, two, three = (entry.file.uri for entry in (ONE, TWO, THREE))
    narrowed = scope.without_standing({one: False, two: True, three: False, "/uri/new": None})
    assert (narrowed.files, list(narrowed.before)) == (Uris(frozenset({two, "/uri/new"})), [TWO])
    gone = scope.without_standing({one: None, three: False})
    assert gone.files == Uris(frozenset({one}))
    assert {entry.file.uri for entry in gone.before} == {one, two}
