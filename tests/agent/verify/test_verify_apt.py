"""`verify` finds what stops apt on every client, though every hash is right."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.verify.apt import _audit_packages, audit_apt, read_facts
from packrat_agent.verify.findings import Fault, Named, Subject
from packrat_demo.build_deb import Deb, build_deb

NOW = datetime(2026, 11, 26, 0, 23, 21, tzinfo=UTC)
STANZA = """\
Package: hello
Version: 1
Architecture: amd64
{more}Filename: pool/hello/hello_1_amd64.deb
Size: 1
SHA256: {sha256}

"""
RELEASE = """\
Origin: Packrat
Label: apt-dev
Suite: bookworm
Codename: bookworm
Date: {date}
Architectures: amd64
Components: main
Description: a mirror
Acquire-By-Hash: yes
SHA256:
 {sha256} {size:>16} main/binary-amd64/Packages
"""


def faults(
    top: Path,
    more: str,
    date: str = "Thu, 26 Nov 2026 00:23:31 UTC",
    offered: frozenset[str] | None = None,
) -> dict[str, str]:
    packages = STANZA.format(more=more, sha256="0" * 64).encode()
    directory = top / "apt-dev/dists/bookworm/main/binary-amd64"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Packages").write_bytes(packages)
    digest = hashlib.sha256(packages).hexdigest()
    release = RELEASE.format(sha256=digest, size=len(packages), date=date)
    (top / "apt-dev/dists/bookworm/Release").write_text(release)
    findings = list(audit_apt(Subject(top, None, NOW, offered), "apt-dev"))
    return {finding.path: finding.what for finding in findings if isinstance(finding, Fault)}


@pytest.mark.parametrize("more", ["", "Depends: a (>= 1), b | c\n", "Built-Using: a (= )\n", "Depends: a,\n b\n"])
def test_indexes_that_apt_reads_have_no_fault(tmp_path: Path, more: str) -> None:
    assert faults(tmp_path, more) == {}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("Depends: a (= )\n", "a Depends that stops apt"),
        ("Provides:\n", "a Provides that stops apt"),
        ("Conflicts: a,\n b c\n", "a Conflicts that stops apt"),
        ("Description-md5: 1\n", "an MD5 has 32"),
        ("Version: 2\n", "the field Version twice"),
        (f"Description: {'x' * 1024 * 1024}\n", "stops apt on every client"),
    ],
)
def test_indexes_that_stop_apt_are_faults(tmp_path: Path, more: str, told: str) -> None:
    found = faults(tmp_path, more)
    assert list(found) == ["apt-dev/dists/bookworm/main/binary-amd64/Packages"]
    assert all(told in what for what in found.values()), found


@pytest.mark.parametrize("date", ["Wed, 26 Nov 2026 00:23:31 UTC", "Thu, 26 Nov 2026 00:63:31 UTC", "now"])
def test_a_date_that_never_was_is_found(tmp_path: Path, date: str) -> None:
    assert list(faults(tmp_path, "", date)) == ["apt-dev/dists/bookworm/Release"]


@pytest.mark.parametrize(
    ("date", "told"),
    [
        ("Thu, 26 Nov 2026 00:23:32 UTC", "is dated ahead of this host's clock, and apt refuses it until Thu, 26 Nov"),
        (
            "Wed, 25 Nov 2026 00:23:20 UTC\nValid-Until: Thu, 26 Nov 2026 00:23:20 UTC",
            "was valid until Thu, 26 Nov 2026 00:23:20 UTC, and apt refuses it",
        ),
        ("Wed, 25 Nov 2026 00:23:21 UTC\nValid-Until: Thu, 26 Nov 2026 00:23:21 UTC", None),
    ],
)
def test_dates_at_which_apt_refuses_a_suite_are_found(tmp_path: Path, date: str, told: str | None) -> None:
    for offered in (None, frozenset({"apt-dev"})):
        found = faults(tmp_path, "", date, offered)
        assert list(found) == (["apt-dev/dists/bookworm/Release"] if told else [])
        assert all(told in what for what in found.values() if told), found
    # Nobody renews what was taken off the mirror.
    assert (faults(tmp_path, "", date, frozenset({"other"})) == {}) == ("Valid-Until" in date)


def test_stanzas_may_be_spelled_in_any_way_that_apt_reads(tmp_path: Path) -> None:
    (tmp_path / "hello.deb").write_bytes(build_deb(Deb("hello", "1", "amd64")))
    text = b"package:\thello \nVERSION:1\nARCHITECTURE: amd64\r\nFilename: pool/h\nSize: 1\n\n"
    for odd, sound in ((text, True), (text.replace(b":1", b":2"), False), (text.replace(b"VERSION:1\n", b""), False)):
        (named,) = [found for found in _audit_packages("apt-dev", "Packages", odd) if isinstance(found, Named)]
        assert named.read is not None
        with (tmp_path / "hello.deb").open("rb") as file:
            assert (named.read(file) is None) == sound


_FIELD = re.compile(rb"^(([!-9;-~]+):.*(?:\n[ \t].*)*)", re.MULTILINE)
_FACT = re.compile(rb"^(Filename|Size|SHA256|Package|Version|Architecture): (.+)$", re.MULTILINE)
_PIECES = [
    b"Filename",
    b"filename",
    b"Size",
    b"X-Size",
    b"SHA256",
    b":",
    b": ",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\n ",
    b"a",
    b"\xff",
]


@given(st.lists(st.sampled_from(_PIECES), max_size=30).map(b"".join))
def test_the_facts_of_a_stanza_are_its_lines_that_say_them(stanza: bytes) -> None:
    assert read_facts(_FIELD.findall(stanza)) == dict(_FACT.findall(stanza))
