"""Whatever the server answers, it is understood or told as a clean error."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.upstream.ways import ANSWERS, DISTRO_VERSIONS, FILES, MIRROR, REPOS, WAYS, Line
from packrat_core.errors import PackratError
from support.replay import Request, answer_of

_ODD = st.sampled_from(
    [
        *(b"0", b"-1", b"99999999999999999999", b"null", b"true", b"[]", b"{}", b'""', b'"', b"[" * 5000, b"\xff"),
        *(b"\\ud800", b"\\u0000", b"\\u001b[2J", b"..", b"/", b"\r\n", b"\r\n\r\n", b": ", b"NaN", b"1" * 5000),
        *(b"Total: 5\r\n", b"Location: /x\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n"),
        *(b"Cinp-Version: 2.0\r\n", b"Cinp-Version: 9\r\n", b"Set-Cookie: =;;\r\n", b"Content-Range: bytes 10-\r\n"),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A recorded answer with bytes changed, left out, put in, doubled, or with another end."""
    raw = bytearray(draw(st.sampled_from(ANSWERS)).raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        match draw(st.sampled_from(["flip", "cut", "insert", "odd", "status", "remove", "join"])):
            case "flip":
                raw[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del raw[at:]
            case "insert":
                raw[at:at] = draw(st.binary(max_size=8))
            case "odd":
                raw[at : at + draw(st.integers(0, 12))] = draw(_ODD)
            case "status":
                raw[9:12] = str(draw(st.integers(99, 600))).encode()
            case "remove":
                del raw[at : at + draw(st.integers(1, 60))]
            case "join":
                raw[at:] = draw(st.sampled_from(ANSWERS)).raw[at:]
    return bytes(raw)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(mutated(), min_size=1, max_size=4), st.sampled_from(sorted(WAYS)))
def test_any_changed_answer_is_understood_or_a_clean_error(line: Line, answers: list[bytes], way: str) -> None:
    left = list(answers)
    found = line.outcome(WAYS[way], lambda request: left.pop(0) if len(left) > 1 else left[0])
    if not isinstance(found, bytes | PackratError):
        repr(found).encode()


_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["x", "apt"])),
        st.sampled_from([f"{FILES}:1:", f"{REPOS}:apt-dev:", f"{DISTRO_VERSIONS}:bookworm:", "\ud800", "/"]),
        st.sampled_from(["/files/x.deb", "a" * 64, "../x", "\0", "x" * 4000]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=6,
)

_RECORDS: dict[str, Callable[[str], dict[str, Any]]] = {
    MIRROR: lambda one: {"name": "lab", "description": "d", "repo_list": [f"{REPOS}:apt-dev:", f"{REPOS}:b:"]},
    REPOS: lambda one: {
        "name": one,
        "description": "d",
        "filesystem_dir": one,
        "manager_type": "apt",
        "distroversion_list": [f"{DISTRO_VERSIONS}:bookworm:"],
        "show_only_latest": True,
    },
    DISTRO_VERSIONS: lambda one: {"name": one, "distro": "debian", "version": "bookworm", "file_type": "deb"},
    FILES: lambda one: {
        "package": "/api/v2/Package/Package:x:",
        "distroversion": f"{DISTRO_VERSIONS}:bookworm:",
        "version": "1",
        "type": "deb",
        "arch": "all",
        "file": f"/files/x_{one}.deb",
        "sha256": "a" * 64,
    },
    "changes": lambda one: {"position": "7", "changes": {f"{REPOS}:apt-dev:": ["hello"], MIRROR: None}},
}

_fields = st.sampled_from([(model, key) for model, make in _RECORDS.items() for key in make("x")])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(_fields, _values, max_size=3),
    st.lists(st.one_of(st.text(max_size=30), st.sampled_from([f"{FILES}:\ud800:", f"{FILES}:1:\x1b"])), max_size=2),
)
def test_any_values_in_the_records_are_understood_or_rejected_by_name(
    line: Line, odd: dict[tuple[str, str], Any], odd_uris: list[str]
) -> None:
    """Records of the right shape with anything in their fields: what gets through can be stored and shown."""
    listed = [f"{FILES}:1:", f"{FILES}:2:", *odd_uris]

    def record(model: str, one: str = "") -> dict[str, Any]:
        return _RECORDS[model](one) | {key: value for (of, key), value in odd.items() if of == model}

    def answer(request: Request) -> bytes:
        if request.verb == "LIST":
            return answer_of(listed, Total=len(listed))
        if request.verb == "CALL":
            return answer_of(record("changes"))
        if request.target == MIRROR:
            return answer_of(record(MIRROR))
        model, ids = request.target.split(":", 1)
        return answer_of({f"{model}:{number}:": record(model, number) for number in ids.strip(":").split(":")})

    for way in ("view, anonymous", "wanted", "changes"):
        found = line.outcome(WAYS[way], answer)
        if not isinstance(found, PackratError):
            assert_storable(found)


def assert_storable(value: Any) -> None:
    """All text in it can be written as UTF-8, to a database or a terminal."""
    if isinstance(value, str):
        value.encode()
        assert value.isprintable(), repr(value)
        assert len(value) <= 1000
    elif isinstance(value, dict):
        for key, part in value.items():
            assert_storable(key)
            assert_storable(part)
    elif isinstance(value, list | tuple | frozenset):
        for part in value:
            assert_storable(part)
    elif hasattr(value, "__slots__"):
        for name in set(value.__slots__) - {"uris"}:
            assert_storable(getattr(value, name))
