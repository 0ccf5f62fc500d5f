"""A client that reads the signatures of a manifest one by one finds that of the tag that it asked for."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.formats.docker.signed_names import (
    SignedNames,
    next_expiry,
    read_names,
    update_names,
    write_names,
)

A, B = "sha256:a", "sha256:b"
GRACE_S = 100.0
TAGS = [f":{letter}" for letter in "abcdef"]

Tagging = Sequence[tuple[int, frozenset[str]]]
"""Seconds since the publication before, and the tags of a manifest from then on."""

tagged = st.frozensets(st.sampled_from(TAGS))
taggings = st.lists(st.tuples(st.integers(0, 120), tagged), max_size=12)


def names_of(signed: SignedNames, digest: str = A) -> list[str]:
    return list(signed.get(digest, {}))


@settings(max_examples=300)
@given(st.permutations(TAGS), st.lists(st.sampled_from(["current", "left", "over"]), min_size=1), tagged, st.data())
def test_no_signature_is_missed_while_others_are_written(
    order: list[str], states: list[str], after: frozenset[str], data: st.DataObject
) -> None:
    left_at = {"current": None, "left": 1950, "over": 1900}
    before = {name: left_at[state] for name, state in zip(order, states, strict=False)}
    signed: SignedNames = {A: before}
    disk = dict(enumerate(before, start=1))
    # One publication comes while a client reads the signatures, for a tag that it asked for before.
    asked = data.draw(st.sampled_from([name for name, at in before.items() if at != 1900] or [":none"]))
    after -= frozenset(name for name, at in before.items() if at == 1900)
    writes = list(enumerate(names_of(update_names(signed, {A: sorted(after)}, 2000, GRACE_S)), start=1))
    found = []
    for number in range(1, len(disk) + 1):
        for _ in range(data.draw(st.integers(0, len(writes)))):
            place, name = writes.pop(0)
            disk[place] = name
        found.append(disk[number])
    assert asked in [*found, ":none"]


@given(taggings)
def test_each_name_is_signed_once_and_goes_in_time(publications: Tagging) -> None:
    signed: SignedNames = {}
    now_s, left = 1000, dict.fromkeys(TAGS, 0)
    for pause_s, tags in publications:
        now_s += pause_s
        signed = update_names(signed, {A: sorted(tags)} if tags else {}, now_s, GRACE_S)
        left |= {name: at for name, at in signed.get(A, {}).items() if at is not None}
        names = names_of(signed)
        assert len(set(names)) == len(names)
        assert set(names) == tags | {name for name in names if name not in tags and now_s - left[name] < GRACE_S}
        expiry = next_expiry(signed, GRACE_S)
        assert (expiry is None) == (set(names) == tags)
        assert expiry is None or expiry > now_s
        assert read_names(write_names(signed)) == signed


def test_a_name_that_left_stays_in_its_place_until_its_time_is_over() -> None:
    signed = update_names({}, {A: [":1.0", ":latest", ":stable"]}, 1000, GRACE_S)
    assert signed == {A: {":1.0": None, ":latest": None, ":stable": None}}
    moved = {A: [":1.0", ":stable"], B: [":2.0", ":latest"]}
    signed = update_names(signed, moved, 2000, GRACE_S)
    assert signed == {A: {":1.0": None, ":latest": 2000, ":stable": None}, B: {":2.0": None, ":latest": None}}
    assert update_names(signed, moved, 2099, GRACE_S) == signed
    # The last one takes its place.
    assert names_of(update_names(signed, moved, 2100, GRACE_S)) == [":1.0", ":stable"]
    assert names_of(update_names({A: dict.fromkeys([":a", ":b", ":c"])}, {A: [":b", ":c"]}, 9, 0)) == [":c", ":b"]


def test_a_withdrawn_manifest_that_comes_back_has_its_names() -> None:
    signed = update_names({A: {":1.0": None, ":latest": None}}, {}, 2000, GRACE_S)
    assert signed == {A: {":1.0": 2000, ":latest": 2000}}
    assert names_of(update_names(signed, {A: [":new"]}, 2050, GRACE_S)) == [":1.0", ":latest", ":new"]
    assert update_names(signed, {}, 2100, GRACE_S) == {}


def test_a_clock_that_was_ahead_keeps_nothing_for_longer() -> None:
    signed = update_names({A: {":1.0": None, ":latest": 90_000}}, {A: [":1.0"]}, 2000, GRACE_S)
    assert signed == {A: {":1.0": None, ":latest": 2000}}


def test_the_list_of_signed_names_is_bounded() -> None:
    tags = [f":{number:03}" for number in range(300)]
    signed = update_names({A: dict.fromkeys(tags)}, {A: tags[:1]}, 2000, GRACE_S)
    assert len(names_of(signed)) == 101
    digests = [f"sha256:{number:03}" for number in range(300)]
    some = update_names({digest: {":x": None} for digest in digests}, {}, 2000, GRACE_S)
    assert len(some) == 200
    # Those that are withdrawn next are remembered first.
    last = update_names({**{B: {":x": None}}, **some}, {}, 2001, GRACE_S)
    assert len(last) == 200
    assert names_of(last, B) == [":x"]
