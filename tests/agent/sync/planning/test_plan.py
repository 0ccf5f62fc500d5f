"""decide: what a pass has to do follows from what is wanted and what is there."""

from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.model.entries import Parts, Placement, Plan
from packrat_agent.model.records import PackageFile, Repo
from packrat_agent.sync.planning.plan import decide

REPO = Repo("r", "R", "r", "apt", ())


def wanted_file(number: int, sha: str) -> PackageFile:
    name = f"p{number}_1_all.deb"
    return PackageFile(f"/uri/{number}", f"p{number}", "bookworm", "1", "deb", "all", f"/files/{name}", name, sha * 64)


def decide_as_is(
    wanted: list[Placement], on_disk: dict[str, str], copies: dict[str, str], published_names: dict[str, str]
) -> Plan:
    """Decide for files that are published as they are."""
    parts = {placement.file.uri: {placement.path: placement.file.sha256} for placement in wanted}
    return decide(REPO, wanted, parts, on_disk, copies, published_names)


def decide_shared(
    wanted: dict[str, Parts], files: list[PackageFile], on_disk: dict[str, str], copies: dict[str, str]
) -> Plan:
    """Decide for files that share a place; `wanted` maps URI → what is published of those that were read."""
    placements = [Placement(file, "r/shared") for file in files]
    return decide(REPO, placements, wanted, on_disk, copies, {}, exclusive=False)


def test_a_file_in_its_place_is_kept_and_others_are_fetched() -> None:
    one, two = wanted_file(1, "a"), wanted_file(2, "b")
    plan = decide_as_is([Placement(one, "r/1"), Placement(two, "r/2")], {"r/1": "a" * 64}, {}, {})
    assert [p.path for p in plan.keep] == ["r/1"]
    assert [p.path for p in plan.fetch] == ["r/2"]
    assert plan.withdraw == ()


def test_a_file_with_other_bytes_on_disk_is_fetched_again_and_not_retired() -> None:
    plan = decide_as_is([Placement(wanted_file(1, "a"), "r/1")], {"r/1": "f" * 64}, {}, {"r/1": "a" * 64})
    assert [p.path for p in plan.fetch] == ["r/1"]
    assert plan.withdraw == ()


def test_bytes_that_stand_elsewhere_are_linked_not_downloaded() -> None:
    plan = decide_as_is([Placement(wanted_file(1, "a"), "r/1")], {}, {"a" * 64: "other/1"}, {})
    assert [(p.path, plan.sources[p.file.sha256]) for p in plan.link] == [("r/1", "other/1")]
    assert plan.fetch == ()


def test_two_files_that_claim_one_path_leave_the_first_and_name_both() -> None:
    one, two = wanted_file(1, "a"), wanted_file(2, "b")
    plan = decide_as_is([Placement(one, "r/same"), Placement(two, "r/same")], {}, {}, {})
    assert [p.file for p in plan.fetch] == [one]
    assert plan.refused[0].file == two
    assert one.uri in plan.refused[0].reason


def test_a_published_name_never_gets_other_bytes() -> None:
    plan = decide_as_is([Placement(wanted_file(1, "b"), "r/1")], {"r/1": "a" * 64}, {}, {"r/1": "a" * 64})
    assert plan.fetch == plan.keep == plan.link == ()
    assert "published before with other bytes" in plan.refused[0].reason
    assert plan.withdraw == ("r/1",)


def test_unwanted_files_are_withdrawn() -> None:
    plan = decide_as_is([], {"r/1": "a" * 64, "r/0": "b" * 64}, {}, {})
    assert plan.withdraw == ("r/0", "r/1")


def test_a_file_that_was_never_read_is_fetched_or_taken_from_a_copy() -> None:
    one, two = wanted_file(1, "a"), wanted_file(2, "b")
    plan = decide_shared({}, [one, two], {}, {"b" * 64: "other/2"})
    assert [p.file for p in plan.fetch] == [one, two]
    assert [plan.sources.get(p.file.sha256) for p in plan.fetch] == [None, "other/2"]


def test_products_in_place_are_kept_and_those_elsewhere_linked() -> None:
    one, two = wanted_file(1, "a"), wanted_file(2, "b")
    x, y, z = {"r/x": "1" * 64}, {"r/y": "2" * 64}, {"r/z": "3" * 64}
    on_disk = {**x, **y, "r/old": "4" * 64}
    plan = decide_shared({one.uri: x | y, two.uri: y | z}, [one, two], on_disk, {"3" * 64: "other/z"})
    assert [p.file for p in plan.keep] == [one]
    (link,) = plan.link
    assert plan.missing == {two.uri: z}
    assert (plan.in_place(plan.keep[0]), plan.in_place(link)) == (x | y, y)
    assert (plan.keeps(plan.keep[0]), plan.keeps(link)) == (True, False)
    assert plan.withdraw == ("r/old",)


def test_a_product_that_is_nowhere_has_the_package_file_fetched_again() -> None:
    one = wanted_file(1, "a")
    plan = decide_shared({one.uri: {"r/x": "1" * 64, "r/y": "2" * 64}}, [one], {"r/x": "1" * 64}, {})
    assert plan.fetch == (Placement(one, "r/shared"),)
    assert (plan.keeps(plan.fetch[0]), plan.in_place(plan.fetch[0])) == (False, {})
    assert plan.withdraw == ()


_paths = st.sampled_from(["r/1", "r/2", "r/3", "r/4"])
_shas = st.sampled_from("abcd")


@given(
    st.lists(st.tuples(_shas, _paths), max_size=8),
    st.dictionaries(_paths, _shas),
    st.sets(_shas),
    st.dictionaries(_paths, _shas),
)
def test_every_wanted_file_has_one_fate_and_nothing_wanted_is_retired(
    wants: list[tuple[str, str]], disk: dict[str, str], elsewhere: set[str], published: dict[str, str]
) -> None:
    wanted = [Placement(wanted_file(n, sha), path) for n, (sha, path) in enumerate(wants)]
    plan = decide_as_is(
        wanted,
        {path: sha * 64 for path, sha in disk.items()},
        {sha * 64: "x" for sha in elsewhere},
        {path: sha * 64 for path, sha in published.items()},
    )
    placed = [*plan.keep, *plan.fetch, *plan.link]
    assert sorted([p.file.uri for p in placed] + [r.file.uri for r in plan.refused]) == sorted(
        placement.file.uri for placement in wanted
    )
    by_path: dict[str, set[str]] = {}
    for placement in placed:
        by_path.setdefault(placement.path, set()).add(placement.file.sha256)
        assert published.get(placement.path, placement.file.sha256[0]) == placement.file.sha256[0]
    assert all(len(shas) == 1 for shas in by_path.values())
    assert set(plan.withdraw) == set(disk) - set(by_path)
