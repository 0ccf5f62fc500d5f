"""Which version is the newest: as dpkg, rpm and PEP 440 say, held against dpkg and Python's own packaging."""

import itertools
import random
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from packrat_core.packages.deb.versions import version_key as deb_key
from packrat_core.packages.python.versions import version_key as python_key
from packrat_core.packages.rpm.versions import version_key as rpm_key
from packrat_server.latest import pick_latest

KEYS: Mapping[str, Callable[[str], Any]] = {"deb": deb_key, "rpm": rpm_key, "python": python_key, "tar": deb_key}
"""What people call other files is compared as Debian does."""

DEB = [
    *("0~", "0", "0.1~~", "0.1~", "0.1~rc1", "0.1", "0.1+b1", "0.9", "0.10", "1.0~beta1-1", "1.0", "1.0-0ubuntu1"),
    *("1.0-1~bpo12+1", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0-2", "1.0-10", "1.0a-1", "1.0+dfsg-1", "1.0.1", "1.0.a"),
    *("1:0.1", "1:1.0-1", "2:0~", "10:0"),
]
"""From old to new."""

RPM = [
    *(
        "1.0~~-1",
        "1.0~rc1-1",
        "1.0~rc2-1",
        "1.0-1",
        "1.0-1.el9",
        "1.0-2",
        "1.0-10",
        "1.0^git1-1",
        "1.0^git2-1",
        "1.0a-1",
    ),
    *("1.0.1-1", "1.1-1", "1.10-1", "2-1", "10-1", "1:0-1", "2:0.1-1"),
]

PEP440 = [
    *("1.0.dev1", "1.0a1.dev1", "1.0a1", "1.0a2", "1.0b1", "1.0rc1.dev2", "1.0rc1", "1.0", "1.0+abc", "1.0+abc.5"),
    *("1.0+5", "1.0.post1.dev1", "1.0.post1", "1.0.1", "1.1.dev0", "1.1", "1.10", "2!0.1"),
]


@pytest.mark.parametrize(("kind", "versions"), [("deb", DEB), ("rpm", RPM), ("python", PEP440)])
def test_versions_sort_from_old_to_new(kind: str, versions: Sequence[str]) -> None:
    for seed in range(5):
        shuffled = list(versions)
        random.Random(seed).shuffle(shuffled)
        assert sorted(shuffled, key=KEYS[kind]) == versions


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0", "1.0-0"), ("1.0", "0:1.0"), ("1.00", "1.0"), ("01.0", "1.0"), ("1.0-01", "1.0-1"), ("1.a0", "1.a")],
)
def test_deb_versions_that_are_the_same_are_neither_older_nor_newer(one: str, other: str) -> None:
    assert order("deb", one, other) == 0
    assert dpkg_says(one, "eq", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0-1", "0:1.0-1"), ("1.0-01", "1.0-1"), ("1..0-1", "1.0-1"), ("1_0-1", "1.0-1"), ("1.0-1", "1.0.-1")],
)
def test_rpm_versions_that_are_the_same_are_neither_older_nor_newer(one: str, other: str) -> None:
    assert order("rpm", one, other) == 0


def test_the_tables_order_is_dpkgs() -> None:
    for older, newer in itertools.pairwise(DEB):
        assert dpkg_says(older, "lt", newer), f"{older} < {newer}"


def order(kind: str, one: str, other: str) -> int:
    """-1 where `one` is older, 0 where both are equal, 1 where it is newer."""
    keys = KEYS[kind](one), KEYS[kind](other)
    return int(keys[0] > keys[1]) - int(keys[0] < keys[1])


def dpkg_says(one: str, relation: str, other: str) -> bool:
    done = subprocess.run(["dpkg", "--compare-versions", one, relation, other], capture_output=True, check=False)
    assert done.stderr == b""
    return done.returncode == 0


_upstream = st.from_regex(r"[0-9][0-9a-zA-Z.+~]{0,8}", fullmatch=True, alphabet=st.sampled_from("0019aAzZ.+~-"))
_deb_versions = st.builds(
    lambda epoch, upstream, revision: epoch + upstream + revision,
    st.sampled_from(["", "", "", "0:", "1:", "12:"]),
    _upstream,
    st.one_of(st.just(""), st.text("0019azZ.+~", min_size=1, max_size=5).map(lambda revision: f"-{revision}")),
)


@settings(max_examples=200, deadline=None)
@given(_deb_versions, _deb_versions)
@example("1.0~", "1.0-0~")
def test_any_two_deb_versions_are_ordered_as_dpkg_orders_them(one: str, other: str) -> None:
    assert (order("deb", one, other) < 0) == dpkg_says(one, "lt", other)
    assert (order("deb", one, other) == 0) == dpkg_says(one, "eq", other)


_pep440_versions = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "", "v", "1!"]),
        st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda numbers: ".".join(map(str, numbers))),
        st.sampled_from(["", "", "a1", "b2", "rc1", "c3", ".alpha.1", "-beta", "_pre0", "RC2"]),
        st.sampled_from(["", "", ".post1", "-2", ".rev3", "r4", ".post"]),
        st.sampled_from(["", "", ".dev1", "dev", "-dev2"]),
        st.sampled_from(["", "", "+abc", "+5", "+abc.5", "+abc-6", "+ABC_x"]),
    ),
)


@settings(max_examples=500, deadline=None)
@given(_pep440_versions, _pep440_versions)
@example("1.0.0", "1")
@example("1.0.0a1", "1a1")
@example("1.0", "1.0.0.1")
def test_any_two_pep_440_versions_are_ordered_as_packaging_orders_them(one: str, other: str) -> None:
    assert (python_key(one) < python_key(other)) == (Version(one) < Version(other))
    assert (python_key(one) == python_key(other)) == (Version(one) == Version(other))


def test_versions_outside_pep_440_are_older_than_all_within() -> None:
    versions = ["1.0", "snapshot", "0.1.dev0", "2004d-x"]
    ordered = sorted(versions, key=python_key)
    assert ordered[2:] == ["0.1.dev0", "1.0"]


_kinds = st.sampled_from(["deb", "rpm", "python", "tar"])
_odd = st.one_of(
    st.text(max_size=12),
    st.text("019.:-~^+a!٣", max_size=12),
    st.sampled_from(["9" * 5000, "1." + "9" * 5000, "9" * 5000 + ":1", "1!" + "9" * 5000, "1.0a" + "1" * 5000]),
)


@settings(max_examples=500, deadline=None)
@given(_kinds, _odd, _odd, _odd)
def test_any_text_has_its_place(kind: str, one: str, other: str, third: str) -> None:
    keys = sorted(KEYS[kind](version) for version in (one, other, third))
    assert keys[0] <= keys[1] <= keys[2]
    assert keys[0] <= keys[2]
    assert (KEYS[kind](one) < KEYS[kind](other)) + (KEYS[kind](other) < KEYS[kind](one)) < 2


def newest(kind: str, *versions: str) -> list[str]:
    """What is kept of the files of one package."""
    return pick_latest(versions, lambda _: None, lambda version: (kind, version))


def test_the_newest_of_each_group_is_kept_in_the_given_order() -> None:
    items = [["b", "1.9"], ["a", "2"], ["b", "1.10"], ["a", "1"], ["c", "1~"], ["b", "1.10"]]
    kept = pick_latest(items, lambda item: item[0], lambda item: ("deb", item[1]))
    assert kept == [["a", "2"], ["b", "1.10"], ["c", "1~"], ["b", "1.10"]]
    assert kept[1] is items[2]


@pytest.mark.parametrize(
    ("kind", "versions", "kept"),
    [
        ("deb", "1.0 1.1~rc1 1:0.5", "1:0.5"),
        ("deb", "1.0~rc1 1.0", "1.0"),
        ("deb", "1.0-2 1.0-10 1.0-9", "1.0-10"),
        ("deb", "1.0 1.0-0", "1.0 1.0-0"),
        ("rpm", "9.9-1 1:0.1-1", "1:0.1-1"),
        ("rpm", "1.0~rc1-1 1.0-1", "1.0-1"),
        ("rpm", "1.0-1 1.0^git1-1 1.0.1-1", "1.0.1-1"),
        ("rpm", "1.0-1 1.0^git1-1", "1.0^git1-1"),
        ("python", "1.0 2.0rc1", "1.0 2.0rc1"),
        ("python", "1.0 2.0rc1 2.0", "2.0"),
        ("python", "1.0 2.0.dev1 2.0a1 2.0b1", "1.0 2.0b1"),
        ("python", "1.0 1.0.post1 1.0.post2.dev1", "1.0.post1 1.0.post2.dev1"),
        ("python", "1.0a1 1.0a2", "1.0a2"),
        ("python", "0.9+cpu 1.0 1.0+cpu 1.0+cu118 1.0+cu121", "1.0 1.0+cpu 1.0+cu118 1.0+cu121"),
        ("python", "1.0+cpu 1.1rc1+cpu 1.1rc1+cu118", "1.0+cpu 1.1rc1+cpu 1.1rc1+cu118"),
        ("python", "1.0 1.0.0 1!0.1", "1!0.1"),
        ("python", "1.0 1.0.0", "1.0 1.0.0"),
        ("python", "snapshot 0.1", "0.1"),
        ("python", "snapshot 0.1.dev1", "0.1.dev1"),
        ("docker", "1.9 1.10", "1.10"),
        ("docker", "1.9 v1.10 latest stable", "v1.10 latest stable"),
        ("docker", "1.0 1.1-rc1", "1.0 1.1-rc1"),
        ("docker", "1.1 1.1-rc1 1.1-rc2", "1.1"),
        ("docker", "1.0 1.1-rc2 1.1-rc10 1.1-rc10-alpine", "1.0 1.1-rc10 1.1-rc10-alpine"),
        ("docker", "1.0-alpine 1.1 1.1-alpine 1.1-slim", "1.1 1.1-alpine 1.1-slim"),
        ("docker", "1.0-1 1.0-2 1.0", "1.0-2"),
        ("docker", "1.0.0rc1 1.0.0 2.0b1", "1.0.0 2.0b1"),
        ("docker", "1.0 3f2a9c1 main", "1.0 3f2a9c1 main"),
        ("docker", "release-1.2 release-1.10 1.5", "release-1.10 1.5"),
        ("tar", "1.9 1.10", "1.10"),
        ("tar", "1.0 1.0-rc1 1.1-beta2", "1.0 1.1-beta2"),
        ("json", "1.0~rc1 1.0 prod latest", "1.0 prod latest"),
        ("resource", "v1.9 1.10 r5 r12", "1.10 r12"),
    ],
)
def test_the_newest_of_several_versions_are_kept(kind: str, versions: str, kept: str) -> None:
    for order in (versions.split(), versions.split()[::-1]):
        assert sorted(newest(kind, *order)) == sorted(kept.split())


@pytest.mark.parametrize("end", [".sig", ".att", ".sbom", ""])
def test_signatures_of_images_hide_no_image_and_stay(end: str) -> None:
    tags = [f"sha256-{digit * 64}{end}" for digit in "0a9"]
    assert newest("docker", "1.0", *tags, "1.1") == [*tags, "1.1"]


_rpm_part = st.text("0019aAzZ.+~^_", min_size=1, max_size=6)
_rpm_versions = st.builds(
    lambda epoch, version, release: f"{epoch}{version}-{release}",
    st.sampled_from(["", "", "", "0:", "1:", "12:"]),
    _rpm_part,
    _rpm_part,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(_rpm_versions, _rpm_versions), min_size=5, max_size=10))
def test_any_two_rpm_versions_are_ordered_as_rpm_orders_them(pairs: list[tuple[str, str]]) -> None:
    script = "".join(f'print(rpm.vercmp("{one}", "{other}"), "")' for one, other in pairs)
    done = subprocess.run(["rpm", "--eval", f"%{{lua:{script}}}"], capture_output=True, text=True, check=True)
    assert [order("rpm", one, other) for one, other in pairs] == [int(said) for said in done.stdout.split()]


_upstream_files = st.lists(st.tuples(_pep440_versions, st.sampled_from(["", "+cpu", "+cu118"])), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(_upstream_files)
def test_pip_finds_among_what_is_kept_what_it_finds_among_all(files: list[tuple[str, str]]) -> None:
    versions = [version if "+" in version else version + local for version, local in files]
    kept = newest("python", *versions)
    for pre_releases in (None, True):
        of_all, of_kept = (
            max(SpecifierSet("").filter(map(Version, some), prereleases=pre_releases)) for some in (versions, kept)
        )
        assert of_all == of_kept
    finals = [Version(version).public for version in kept if not Version(version).is_prerelease]
    assert len({Version(public) for public in finals}) <= 1
    for version in versions:
        if finals and Version(Version(version).public) == Version(finals[0]):
            assert version in kept
    assert len({Version(Version(version).public) for version in kept}) <= 2
