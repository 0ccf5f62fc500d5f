"""While one key takes over from another, a client that reads signatures one by one finds one that it can check."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.formats.docker.image_index import _with_slots
from packrat_agent.formats.docker.signatures import sign_manifest
from packrat_agent.formats.docker.signed_names import SignedNames, update_names
from packrat_agent.model.tree import PendingFile, Signer

DIGEST = "sha256:a"
GRACE_S = 100.0
TAGS = [f":{letter}" for letter in "abcdef"]
PHASES: dict[str, tuple[tuple[Signer, ...], dict[Signer, str], set[str]]] = {
    "before": ((Signer.KEY,), {Signer.KEY: "old"}, {"old"}),
    "offered": ((Signer.KEY, Signer.NEXT), {Signer.KEY: "old", Signer.NEXT: "new"}, {"old", "new"}),
    "switched": ((Signer.FORMER, Signer.KEY), {Signer.FORMER: "old", Signer.KEY: "new"}, {"old", "new"}),
    "retired": ((Signer.KEY,), {Signer.KEY: "new"}, {"new"}),
}
STEPS = [(phase, phase) for phase in PHASES] + [("before", "offered"), ("offered", "switched"), ("switched", "retired")]


def written(phase: str, names: Sequence[str], facts: dict[str, str]) -> list[tuple[int, tuple[str, str]]]:
    """The signatures in the order of writing: (number, (name, key)) each."""
    signers, keys, _ = PHASES[phase]
    files = sign_manifest("web", "h/d/web", DIGEST, names, signers=_with_slots(signers, facts), listed=False)
    found = []
    for file in files:
        assert isinstance(file, PendingFile)
        [(statement, signer)] = file.wanted
        reference = json.loads(bytes(statement))["critical"]["identity"]["docker-reference"]
        found.append((int(file.path.rpartition("-")[2]), (reference.removeprefix("h/d/web"), keys[signer])))
    return found


@settings(max_examples=300)
@given(
    st.sampled_from(STEPS),
    st.permutations(TAGS),
    st.lists(st.sampled_from(["current", "left"]), min_size=1),
    st.frozensets(st.sampled_from(TAGS)),
    st.data(),
)
def test_no_client_misses_its_signature(
    step: tuple[str, str], order: list[str], states: list[str], after: frozenset[str], data: st.DataObject
) -> None:
    first, second = step
    left_at = {"current": None, "left": 1950}
    signed: SignedNames = {DIGEST: {name: left_at[state] for name, state in zip(order, states, strict=False)}}
    # Once there were two signatures of each name, there always are.
    facts = {"slots": "2"} if step != ("before", "before") and first != "before" else {}
    disk = dict(written(first, list(signed[DIGEST]), facts))
    asked = data.draw(st.sampled_from(list(signed[DIGEST])))
    trusted = data.draw(st.sampled_from(sorted(PHASES[first][2] & PHASES[second][2])))
    writes = written(second, list(update_names(signed, {DIGEST: sorted(after)}, 2000, GRACE_S).get(DIGEST, ())), facts)
    found, number = [], 1
    while number in disk:
        for _ in range(data.draw(st.integers(0, len(writes)))):
            place, made = writes.pop(0)
            disk[place] = made
        found.append(disk[number])
        number += 1
    assert (asked, trusted) in found


@pytest.mark.parametrize(
    ("phase", "slots", "expected"),
    [
        ("before", "", [(":a", "old"), (":b", "old")]),
        ("offered", "", [(":a", "old"), (":a", "new"), (":b", "old"), (":b", "new")]),
        ("switched", "2", [(":a", "old"), (":a", "new"), (":b", "old"), (":b", "new")]),
        ("retired", "2", [(":a", "new"), (":a", "new"), (":b", "new"), (":b", "new")]),
        ("before", "9999", [(":a", "old"), (":b", "old")]),
    ],
)
def test_the_older_key_comes_first_and_numbers_stay(phase: str, slots: str, expected: list[tuple[str, str]]) -> None:
    made = written(phase, [":a", ":b"], {"slots": slots})
    assert [said for _, said in sorted(made)] == expected
