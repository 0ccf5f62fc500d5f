"""The list of packages is cut into shards, and a change gives the same as a build from nothing, at little cost."""

import json
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.model.records import Repo
from packrat_agent.model.tree import TreeFile
from packrat_agent.site_page.package_list import (
    DIRECTORY,
    ListedFile,
    change,
    cut,
    is_made_of,
    list_identity,
    publish_list,
    read_facts,
)

REPO = Repo("apt-prod", "", "prod/apt", "apt", ())
_NAMES = st.sampled_from([f"p{number}" for number in range(900)])


class _Live:
    """Packages, and how many of them were read."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = set(names)
        self.read = 0

    def between(self, low: str, high: str | None) -> list[ListedFile]:
        """List the files of some packages."""
        found = [name for name in sorted(self.names) if name >= low and (high is None or name < high)]
        self.read += len(found)
        return [ListedFile(name, name, "1.0", "bookworm", "amd64") for name in found]


@settings(deadline=None, max_examples=40)
@given(st.sets(_NAMES), st.lists(st.sets(_NAMES, max_size=5), max_size=4), st.integers(0, 1))
def test_a_change_gives_what_a_build_from_nothing_gives(names: set[str], steps: list[set[str]], many: int) -> None:
    # Few of these names begin a shard, so half of the lists have all of them.
    live = _Live(names if not many else {f"p{number}" for number in range(900)} - names)
    shards = cut(live.between("", None)).shards
    for touched in steps:
        live.names ^= touched
        made = change(shards, touched, live.between)
        whole = cut(live.between("", None))
        assert made.shards == whole.shards
        assert made.made.items() <= whole.made.items()
        new = {shard.sha256 for shard in made.shards} - {shard.sha256 for shard in shards}
        assert new <= made.made.keys()
        shards = made.shards


def test_a_change_of_one_of_many_packages_makes_one_shard_and_reads_few_packages() -> None:
    live = _Live(f"lib{number:06}" for number in range(100_000))
    shards = cut(live.between("", None)).shards
    assert 300 < len(shards) < 500
    assert max(shard.packages for shard in shards) < 3000
    live.names.add("lib050000-extra")
    live.read = 0
    made = change(shards, {"lib050000-extra"}, live.between)
    assert len(made.made) == 1
    assert live.read < 3000
    publication = publish_list(REPO, made, shards, "index")
    assert publication.since is not None
    [index] = publication.pointers
    assert isinstance(index, TreeFile)
    assert index.path.endswith("/index.json")
    assert len(publication.content) == len(publication.since.gone_content) == 1
    assert index.content.size < 64 * 1024


def test_a_package_has_its_versions_the_highest_first_and_the_architectures_of_each() -> None:
    files = [
        ListedFile("libstdc6", "libstdc++6", "1.9", "bookworm", "amd64"),
        ListedFile("libstdc6", "libstdc++6", "1.10", "bookworm", "amd64"),
        ListedFile("libstdc6", "libstdc++6", "2", "trixie", "amd64"),
        ListedFile("libstdc6", "libstdc++6", "2", "bookworm", "arm64"),
        ListedFile("libstdc6", "libstdc++6", "2", "bookworm", "amd64"),
        ListedFile("web", "web", "1.0", "", "amd64,arm64"),
    ]
    [content] = cut(files).made.values()
    assert cut([*files[4::-1], *files[5:]]).made.keys() == cut(files).made.keys()
    assert json.loads(bytes(content)) == {
        "packages": [
            [
                "libstdc++6",
                [
                    ["2", "trixie", "amd64"],
                    ["2", "bookworm", "amd64 arm64"],
                    ["1.10", "bookworm", "amd64"],
                    ["1.9", "bookworm", "amd64"],
                ],
            ],
            ["web", [["1.0", "", "amd64 arm64"]]],
        ]
    }


def test_a_published_list_is_known_again() -> None:
    made = cut([ListedFile("a", "a", "1", "", "")])
    publication = publish_list(REPO, made, None, "index")
    assert publication.pointers[0].path == f"prod/apt/{DIRECTORY}/index.json"
    assert read_facts(publication.facts) == made.shards
    assert read_facts({}) is None
    assert is_made_of("index", publication.facts)
    assert not is_made_of("other", publication.facts)
    moved = Repo("apt-prod", "", "elsewhere", "apt", ())
    assert list_identity(moved, made.shards) != list_identity(REPO, made.shards)


_ARCHES = st.sampled_from(["amd64", "all", "", "arm64,amd64", "arm64 amd64", "musl-linux-armhf", "b,,a", " x "])


@given(st.text(max_size=5), st.text(max_size=5), st.one_of(_ARCHES, st.text(max_size=4)))
def test_a_package_of_one_file_is_described_as_one_of_several(name: str, version: str, arch: str) -> None:
    file = ListedFile("p", name, version, "bookworm", arch)
    assert cut([file]).made.keys() == cut([file, file]).made.keys()
