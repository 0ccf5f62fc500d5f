"""What stops apt is refused, with the field named, and nothing else; the real apt-get is the judge."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from packrat_agent.formats.interface import RenderRequest
from packrat_agent.model.entries import Entry, Fragment
from packrat_core.errors import Refused
from packrat_core.packages.deb.relations import STANZA_LIMIT, WORD_LIMIT, find_fault
from packrat_core.packages.deb.stanza import read_stanza
from packrat_demo.build_deb import Deb
from packrat_demo.private_apt import PrivateApt
from support.apt_packages import APT, NOW, SETTINGS, Chunks, files_of, one_suite, package_file, with_plain
from support.other_debian import RELEASES, write_programs

HERE = "here"
START = b"Package: x\nVersion: 1\nArchitecture: amd64\n"


class Judge:
    """The real apt-get, which reads one Packages file after the other."""

    def __init__(self, root: Path, release: str) -> None:
        self.is_newer = release != HERE
        self._repo = root / "repo"
        self._repo.mkdir()
        self._apt = PrivateApt(root / "apt", f"deb [trusted=yes] copy:{self._repo} ./\n")

    def reads(self, body: bytes) -> bool:
        """Whether apt-get reads an index with this stanza and another one, and would install the other."""
        (self._repo / "Packages").write_bytes(index_of(body))
        said = self._apt.run("update")
        if said.exit_code != 0:
            return False
        chosen = self._apt.run("--simulate", "install", "bystander")
        # It reads some stanzas, and crashes when it looks for what to install.
        return chosen.exit_code == 0 and "Inst bystander" in chosen.output


@pytest.fixture(scope="module", params=[HERE, *RELEASES])
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """The apt-get of this machine, and that of each other release."""
    directory = tmp_path_factory.mktemp("judge")
    with pytest.MonkeyPatch.context() as patch:
        if request.param != HERE:
            programs = write_programs(request.param, directory)
            patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        yield Judge(directory, request.param)


def index_of(body: bytes) -> bytes:
    """The index as the agent writes it, of a package and a bystander."""
    deb = Deb("bystander", "1", "amd64")
    entries = []
    for number, (name, text) in enumerate((("x", body), ("bystander", _bystander()))):
        fragment = Fragment(text, name, "1", "amd64", size=1000)
        file = package_file(deb, hashlib.sha256(fragment.body).hexdigest(), number=number)
        entries.append(Entry(file, f"pool/x/{fragment.name}_1_amd64.deb", fragment))
    tree = APT.render(RenderRequest(one_suite(), entries, SETTINGS, NOW, Chunks()))
    return with_plain(files_of(tree))["dists/bookworm/main/binary-amd64/Packages"]


def _bystander() -> bytes:
    return read_stanza(START.replace(b"x", b"bystander", 1)).body


def refusal(control: bytes) -> str | None:
    """Why a control file is refused; None where it is not."""
    try:
        read_stanza(control)
    except Refused as refused:
        return str(refused)
    return None


FATAL = {
    "no version behind an operator": (b"Depends: irods-runtime (= )", "Depends", "no version between ( and )"),
    "that, and more": (b"Depends: a (= ), b", "Depends", "no version between ( and )"),
    "no parentheses": (b"Depends: libc6 >= 2.3", "Depends", "'>= 2.3' stands behind a name"),
    "no comma": (b"Depends: a b", "Depends", "'b' stands behind a name"),
    "no comma, folded": (b"Depends: a\n b", "Depends", "'b' stands behind a name"),
    "not closed": (b"Recommends: b, a (>= 1", "Recommends", "'a (>= 1' has no version"),
    "empty parentheses": (b"Suggests: a ()", "Suggests", "no version"),
    "too short for apt": (b"Enhances: a (=1)", "Enhances", "no version"),
    "a version alone": (b"Conflicts: (>= 1)", "Conflicts", "'(>= 1)' stands where the name"),
    "two commas": (b"Breaks: a,, b", "Breaks", "', b' stands where the name"),
    "a comma at first": (b"Replaces: , a", "Replaces", "', a' stands where the name"),
    "an architecture": (b"Pre-Depends: a [amd64]", "Pre-Depends", "'[amd64]' stands behind a name"),
    "a build profile": (b"Depends: a <!nocheck>", "Depends", "'<!nocheck>' stands behind"),
    "two versions": (b"Depends: a (>= 1) (<< 2)", "Depends", "'(<< 2)' stands behind"),
    "in other letters": (b"dePENDS: a b", "dePENDS", "stands behind"),
    "no ASCII": (b"Depends: a \xe4 b", "Depends", "stands behind"),
    **{
        f"no alternative in {field}": (f"{field}: a |".encode(), field, "it ends with |, and no alternative")
        for field in ("Pre-Depends", "Depends", "Recommends", "Suggests", "Enhances", "Conflicts", "Breaks", "Replaces")
    },
    "empty Provides": (b"Provides:", "Provides", "it is empty"),
    "Provides of spaces": (b"Provides:  \t\r", "Provides", "it is empty"),
    "broken Provides": (b"Provides: a b", "Provides", "stands behind"),
    **{
        f"no version behind {operator}": (
            f"Depends: a ({operator}   ), b".encode(),
            "Depends",
            "has no version between",
        )
        for operator in ("<", "<<", "<=", ">", ">>", ">=", "=")
    },
    "a cut off hash": (b"Description-md5: 0123", "Description-md5", "it has 4 characters"),
    "an endless name": (b"Depends: b, " + b"a" * 70_000, "Depends", "a name of 70000 bytes"),
    "an endless version": (b"Provides: a (= " + b"1" * 70_000 + b")", "Provides", "a version of 700"),
    "an endless section": (b"Section: " + b"a" * 70_000, "Section", "70000 bytes"),
    "an endless source": (b"Source: x (" + b"1" * 70_000 + b")", "Source", "70004 bytes"),
}
READ_SINCE_APT_3 = {"too short for apt", "empty Provides", "Provides of spaces", "a cut off hash"}


@pytest.mark.parametrize("name", sorted(FATAL))
def test_relations_that_stop_apt_are_refused_by_field(judge: Judge, name: str) -> None:
    lines, field, told = FATAL[name]
    reason = refusal(START + lines + b"\n")
    assert reason is not None
    assert f"has a {field} that stops apt on every client" in reason
    assert told in reason
    assert reason.isprintable()
    assert len(reason) < 400
    assert judge.reads((START + lines).rstrip(b"\n") + b"\n") is (judge.is_newer and name in READ_SINCE_APT_3)


@pytest.mark.parametrize("field", ["Package", "Version", "Architecture"])
def test_names_that_apt_aborts_at_are_refused(judge: Judge, field: str) -> None:
    values = {"Package": "x", "Version": "1", "Architecture": "amd64"} | {field: "1" * (WORD_LIMIT + 1000)}
    control = "".join(f"{name}: {value}\n" for name, value in values.items()).encode()
    assert f"a {field} that stops apt" in (refusal(control) or "")
    assert not judge.reads(control)


HARMLESS = [
    b"Depends:",
    *(name + b": " for name in (b"Pre-Depends", b"Recommends", b"Suggests", b"Enhances", b"Conflicts", b"Breaks")),
    *(b"Depends: a,", b"Depends: a, ", b"Provides: a |", b"Depends: a | b, c:any (>= 1:2~rc1-3) , d(=1.0)"),
    *(b"Depends: ${shlibs:Depends}, ${misc:Depends}", b"Depends: a (>= ${binary:Version})", b"Depends: a:, :any"),
    *(
        b"Depends: a (~> 1)",
        b"Depends: a (1.0)",
        b"Depends: a (>> 1), b (> 1), c (< 1), d (<< 1)",
        b"Depends: a (!= 1)",
        b"Depends: a (<1), b (<=1), c (<<1), d (>1), e (>=1), f (>>1), g (=1), h",
    ),
    *(b"Depends: a_b, @c, D, e@f", b"Depends:\n a,\n b (>= 1),\n c\n", b"Depends: a (>= 1, b (>= 2)", b"Depends: a\r"),
    *(b"Provides: a (>= 1)", b"Provides: a:any,", b"Replaces: a\xe4"),
    *(b"Built-Using: a b", b"Obsoletes: ,", b"Build-Depends: a [amd64] <x>", b"X-Depends: a b"),
    *(
        b"Installed-Size: huge",
        b"Multi-Arch: maybe",
        b"Essential: perhaps",
        b"Priority: ?",
        b"Section:",
        b"Source: x (",
    ),
    *(b"Description-md5:", b"Description-md5: " + b"0" * 32, b"Description: \xff\xfe\n .\n \xe4", b"Homepage: \xe4"),
    b"Depends: " + b"a" * (WORD_LIMIT - 10) + b":amd64 (= " + b"1" * (WORD_LIMIT - 10) + b")",
    b"Section: " + b"a" * WORD_LIMIT + b"\nSource: " + b"a" * WORD_LIMIT,
    b"Provides: " + b", ".join(b"a%d (= %d)" % (number, number) for number in range(30_000)),
]


@pytest.mark.parametrize("lines", HARMLESS, ids=lambda lines: lines[:40].decode("ascii", "backslashreplace"))
def test_relations_that_apt_reads_are_accepted(judge: Judge, lines: bytes) -> None:
    """Some of it is refused for the sake of dpkg."""
    assert "stops apt" not in (refusal(START + lines + b"\n") or "")
    assert judge.reads((START + lines).rstrip(b"\n") + b"\n")


def test_the_longest_stanza_that_is_let_in_is_read_and_one_that_apt_does_not_read_is_refused(judge: Judge) -> None:
    def control(size: int) -> bytes:
        field = START + b"Description: "
        return field + b"d" * (size - len(field) - 1) + b"\n"

    assert refusal(control(1_024_000)) is None
    longest = next(size for size in range(STANZA_LIMIT, 0, -1) if refusal(control(size)) is None)
    assert STANZA_LIMIT - longest < 1000
    assert judge.reads(read_stanza(control(longest)).body)
    assert "which stops apt on every client: the limit is 1048576" in (refusal(control(longest + 1)) or "")
    assert not judge.reads(control(STANZA_LIMIT + 200))


_RELATION = st.lists(
    st.sampled_from(
        [
            *(b"a", b"libc6", b"b:any", b":", b"${v}", b"_", b"@", b"\xe4", b"&"),
            *(b"(", b")", b"<", b">", b"=", b">=", b"<<", b"~>", b"!", b"[", b"]", b",", b",", b", ", b"|"),
            *(
                b" ",
                b" ",
                b"\n ",
                b"\t",
                b"\r",
                b"\f",
                b"1",
                b"2.0-1",
                b" (>= 1)",
                b"(=1)",
                b"(1)",
                b" (= )",
                b"a (= 1), ",
            ),
        ]
    ),
    max_size=7,
).map(b"".join)
_FIELDS = [
    *(b"Depends", b"Pre-Depends", b"Recommends", b"Suggests", b"Enhances", b"Conflicts", b"Breaks", b"Replaces"),
    *(
        b"Provides",
        b"Provides",
        b"pRoVides",
        b"Built-Using",
        b"Obsoletes",
        b"Tag",
        b"Multi-Arch",
        b"Source",
        b"Essential",
    ),
]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(_FIELDS), st.one_of(_RELATION, _RELATION.map(lambda rest: b"a " + rest)))
@example(b"Depends", b"a |")
def test_the_verdict_is_that_of_apt(judge: Judge, field: bytes, value: bytes) -> None:
    control = START + field + b": " + value + b"\n"
    reason = refusal(control)
    if reason is not None and "stops apt" not in reason:
        # A control file that is none, which is told before; or one that dpkg alone can't read.
        return
    if reason is not None and (judge.is_newer or "it ends with |" in reason):
        # Refused for the sake of the older one; or apt crashes by chance, as something else stands before the |.
        return
    assert judge.reads(control) is (reason is None), reason


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.binary(max_size=40), _RELATION))
def test_any_text_is_read_or_has_a_fault_that_can_be_shown(value: bytes) -> None:
    fault = find_fault(value)
    assert fault is None or fault.isprintable()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", [b"(", b" ", b"a (", b"a|", b"a (= 1), ", b"a (= 1"])
def test_a_long_field_costs_no_more_than_its_length(unit: bytes) -> None:
    find_fault(b"a" + unit * (STANZA_LIMIT // len(unit)))


@pytest.mark.parametrize(("name", "version"), [(WORD_LIMIT, 9), (1, WORD_LIMIT - 2), (WORD_LIMIT, WORD_LIMIT - 2)])
def test_words_of_the_longest_length_pass_and_no_longer_ones(name: int, version: int) -> None:
    def relation(name: int, version: int) -> bytes:
        # The limit of a version counts its parentheses and operator.
        return b"a" * name + b" (=" + b"1" * (version - 1) + b")"

    assert find_fault(relation(name, version)) is None
    if name == WORD_LIMIT:
        assert "name" in (find_fault(relation(name + 1, version)) or "")
    if version == WORD_LIMIT - 2:
        assert "version" in (find_fault(relation(name, version + 1)) or "")
