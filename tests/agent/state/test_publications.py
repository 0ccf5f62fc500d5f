"""What a publication last published is answered of that publication, and of no other of any repository."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.model.records import Repo
from packrat_agent.model.tree import ReadyPublication, UnsignedTree
from packrat_agent.state.publications import Publications
from packrat_agent.state.store import Store

_PLACES = [(repo, name) for repo in ("apt", "yum") for name in ("x", "y")]
"""Two repositories have publications of the same names."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    for number, (repo, name) in enumerate(_PLACES, 1):
        note(made.publications, repo, name, number)
    yield made
    made.close()


def note(publications: Publications, repo: str, name: str, number: int, *, leaves_indexes: bool = True) -> None:
    facts = {"number": str(number), f"only {repo} {name}": "yes"}
    publication = ReadyPublication(name, f"{repo} {name}", (), (), facts)
    publications.note(repo, publication, number, float(number), leaves_indexes=leaves_indexes)


def look(publications: Publications) -> dict[tuple[str, str], tuple[str, int | None, str, int]]:
    """All that is told of each publication."""
    found = {}
    for repo in ("apt", "yum"):
        facts, late = publications.facts(repo), publications.late_facts(repo)
        assert (dict(late), len(late)) == (facts, len(facts))
        first = publications.first_generations(repo, facts)
        for name, identity in publications.identities(repo).items():
            number = facts[name].get("number", "")
            assert publications.identities(repo, [name, "none"]) == {name: identity}
            assert publications.first_generations(repo, [name, "none"]) == {name: first[name]}
            found[repo, name] = (identity, publications.generation(repo, name), number, first[name])
        assert facts.keys() == first.keys() == publications.identities(repo).keys()
    return found


def as_noted(repo: str, name: str) -> tuple[str, int, str, int]:
    number = _PLACES.index((repo, name)) + 1
    return f"{repo} {name}", number, str(number), number + 1


EXPECTED = {place: as_noted(*place) for place in _PLACES}


def test_each_publication_is_read_back_as_it_was_noted(store: Store) -> None:
    assert look(store.publications) == EXPECTED
    assert [store.publications.published_at(repo) for repo in ("apt", "yum", "none")] == [2.0, 4.0, None]
    assert store.publications.generation("apt", "z") is None
    assert store.publications.generation("pypi", "x") is None


def test_those_with_a_fact_are_those_of_the_repository_alone(store: Store) -> None:
    assert store.publications.facts_with("apt", "only apt y") == {"y": {"number": "2", "only apt y": "yes"}}
    assert store.publications.facts_with("apt", "only yum y") == {}
    assert store.publications.facts_with("yum", "number").keys() == {"x", "y"}
    # Only a whole name is one.
    assert store.publications.facts_with("apt", "only") == {}


def test_one_that_is_published_again_loses_its_identity_alone(store: Store) -> None:
    store.publications.publish_again("apt", "y")
    assert look(store.publications) == EXPECTED | {("apt", "y"): ("", 2, "2", 0)}


def test_a_later_generation_takes_the_place_of_the_former(store: Store) -> None:
    note(store.publications, "yum", "x", 7)
    assert look(store.publications) == EXPECTED | {("yum", "x"): ("yum x", 7, "7", 8)}
    assert store.publications.published_at("yum") == 7.0


def test_a_generation_with_indexes_on_disk_keeps_the_time_it_was_replaced(store: Store) -> None:
    sql = "SELECT repo, publication, generation, replaced_at FROM generations ORDER BY repo, publication, generation"
    known = [(repo, name, number - 1, float(number)) for number, (repo, name) in enumerate(_PLACES, 1)]
    assert store._db.rows(sql) == known
    note(store.publications, "yum", "y", 6, leaves_indexes=False)
    assert store._db.rows(sql) == known
    note(store.publications, "yum", "y", 7)
    assert store._db.rows(sql) == [*known, ("yum", "y", 6, 7.0)]
    store.publications.drop("apt", "x")
    assert store._db.rows(sql) == [*known[1:], ("yum", "y", 6, 7.0)]
    store.publications.drop("yum")
    assert store._db.rows(sql) == known[1:2]


def test_those_that_ended_are_known_and_not_present(store: Store) -> None:
    def ended(repo: str, names: tuple[str, ...] | None, *named: str) -> list[str]:
        return store.publications.ended(UnsignedTree(Repo(repo, "", repo, "apt", ()), (), names, frozenset(named)))

    assert ended("apt", ("y", "z")) == ["x"]
    assert ended("apt", ("x", "y")) == []
    assert ended("none", ("x",)) == []
    # Where not all names are told, those end that are named.
    assert ended("apt", None) == []
    assert ended("apt", None, "x", "z") == ["x"]
    assert ended("none", None, "x") == []


def test_dropping_takes_one_publication_or_those_of_one_repository(store: Store) -> None:
    store.publications.drop("apt", "x")
    left = {place: told for place, told in EXPECTED.items() if place != ("apt", "x")}
    assert look(store.publications) == left
    store.publications.drop("yum")
    assert look(store.publications) == {("apt", "y"): EXPECTED["apt", "y"]}


def test_publications_of_another_agent_are_remembered_only_where_none_is_known(store: Store) -> None:
    store.publications.remember_others("apt", "x", {"number": "9"})
    assert look(store.publications) == EXPECTED
    store.publications.remember_others("apt", "z", {"number": "9"})
    assert look(store.publications) == EXPECTED | {("apt", "z"): ("", 0, "9", 0)}
    store.publications.remember_others("pypi", "x", {})
    assert store.publications.published_at("pypi") is None
    assert store.publications.published_at("apt") == 2.0
