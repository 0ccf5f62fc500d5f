"""What no dpkg installs is refused, with the field named, and nothing else; the real dpkg is the judge."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packrat_core.errors import Refused
from packrat_core.packages.deb.dpkg_fields import check_installable
from packrat_core.packages.deb.stanza import CONTROL_FILE_LIMIT, read_stanza, split_fields
from support.other_debian import RELEASES, write_programs

HERE = "here"
START = b"Package: x\nVersion: 1\nArchitecture: all\n"
# Older releases want both; behind an empty field, dpkg needs another line.
END = b"\nMaintainer: a <a@example.com>\nDescription: x\n"


class Judge:
    """The real dpkg, which would install one package after the other, and is stricter than dpkg-deb."""

    def __init__(self, directory: Path) -> None:
        self._tree = directory / "tree"
        (self._tree / "DEBIAN").mkdir(parents=True)
        self._package = directory / "x.deb"
        self._root = directory / "root"
        database = self._root / "var/lib/dpkg"
        for name in ("info", "updates", "triggers"):
            (database / name).mkdir(parents=True)
        (database / "status").touch()

    def reads(self, control: bytes) -> bool:
        (self._tree / "DEBIAN/control").write_bytes(control)
        build = ["/usr/bin/dpkg-deb", "--nocheck", "-Znone", "--build", str(self._tree), str(self._package)]
        subprocess.run(build, check=True, capture_output=True)
        install = [
            "dpkg",
            f"--root={self._root}",
            "--log=/dev/null",
            "--no-act",
            "--force-depends",
            "--force-conflicts",
        ]
        install += ["--install", str(self._package)]
        return subprocess.run(install, check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="module", params=[HERE, *RELEASES])
def judge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """The dpkg of this machine, and that of each other release."""
    directory = tmp_path_factory.mktemp("judge")
    with pytest.MonkeyPatch.context() as patch:
        if request.param != HERE:
            programs = write_programs(request.param, directory, ("dpkg",))
            patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        yield Judge(directory)


REFUSED = {
    b"Depends: a,": "it ends with a separator",
    b"Suggests: a | ": "it ends with a separator",
    b"Depends: ${shlibs:Depends}, ${misc:Depends}": "'${shlibs:Depends}, ${misc:Depends}' is not the name of a package",
    b"Depends: a, ,b": "',b' is not the name of a package",
    b"Depends: a (>= ${binary:Version})": "is not an operator and a version that dpkg takes",
    b"Depends: a (~> 1)": "is not an operator and a version that dpkg takes",
    b"Depends: a (!= 1)": "is not an operator and a version that dpkg takes",
    b"Depends: a (=< 1)": "is not an operator and a version that dpkg takes",
    b"Depends: a (= 1.0-)": "is not an operator and a version that dpkg takes",
    b"Depends: a (= 1:)": "is not an operator and a version that dpkg takes",
    b"Depends: a (>= v1.0)": "'(>= v1.0)' is not an operator and a version that dpkg takes",
    b"Provides: a (= ~1)": "is not an operator and a version that dpkg takes",
    b"Suggests: a (= 1:~1)": "is not an operator and a version that dpkg takes",
    b"Depends: a (= 99999999999:1)": "is not an operator and a version that dpkg takes",
    b"Depends: a (= 1-1:1)": "is not an operator and a version that dpkg takes",
    b"Depends: a (>= 1) [amd64]": "can't stand behind",
    b"Depends: a:": "':' can't stand behind",
    b"Depends: _a": "'_a' is not the name",
    b"Replaces: a\xe4": "'\\\\xe4' can't stand behind",
    b"Depends:\n a": "its value begins only in the line after its name",
    b"Provides: \n\ta": "its value begins only in the line after its name",
    b"Essential:\n yes": "its value begins only in the line after its name",
    b"Conflicts: a | b": "it has alternatives",
    b"Breaks: a | b": "it has alternatives",
    b"REPLACES: a | b": "it has alternatives",
    b"Provides: a | b": "it has alternatives",
    b"Essential: perhaps": "it is 'perhaps', and can only be yes, no",
    b"Multi-Arch: maybe": "it is 'maybe', and can only be foreign, allowed, same, no",
    b"multi-arch: SAME": "a package of the architecture all can't be the same for several",
    b"Status: install ok installed": "only the database of dpkg has this field",
    b"Status:": "only the database of dpkg has this field",
    b"Config-Version: 1": "only the database of dpkg has this field",
    b"Triggers-Pending: a": "only the database of dpkg has this field",
    b"Triggers-Awaited: a": "only the database of dpkg has this field",
    b"Conffiles: /etc/x d41d8cd9": "its value begins in the line of its name",
    b"Conffiles:\n /etc/x d41d8cd9\n /etc/y": "' /etc/y' is not a space, a path and its digest",
    b"Conffiles:\n /etc/x obsolete": "is not a space, a path and its digest",
    b"Conffiles:\n\t/etc/x d41d8cd9": "is not a space, a path and its digest",
    b"Conffiles:\n / d41d8cd9": "is not a space, a path and its digest",
    b"Filename:": "it is empty",
    b"MSDOS-Filename: ": "it is empty",
    b"Size:": "it is empty",
    b"MD5sum:": "it is empty",
    b"Recommended: a,": "it ends with a separator",
    b"Optional: a (>= v1)": "is not an operator and a version that dpkg takes",
}
TAKEN = [
    b"Depends:",
    b"Depends: a, b | c:any (>= 1:2~rc1-3) , d(=1.0)",
    b"Depends: a (1.0), b (> 1), c (< 1)",
    b"Depends: a,\n b (>=\n 1)\t|\tc\n , d",
    b"X-Depends:\n a",
    b"Depends: A_b+.-, a:native, 0",
    b"Provides: a (= 1), b:any",
    b"Recommends: a ( >= 1 ) | b",
    b"Built-Using: a b,",
    b"Depends: a (= 1:2:3-4~), b (>= 0-+.)",
    b"Conffiles:",
    b"Conffiles: \n /etc/x d41d8cd9\n etc/a b  d41d8cd9 obsolete\n /etc/y newconffile",
    b"Filename: a\n b",
    b"Size: many",
    b"SHA256:",
    b"Revision:",
    b"Recommended: a | b",
    b"Optional: a\nSuggests: b",
    b"Essential: YES",
    b"Multi-Arch: Foreign",
    b"Multi-Arch:",
    b"Priority: ?",
    b"Installed-Size: huge",
    b"Homepage: \xe4",
]


def refusal(control: bytes) -> str | None:
    """Why dpkg can't read a control file that is not refused for another reason; None if it can."""
    try:
        check_installable(split_fields(control), "all")
    except Refused as error:
        return str(error)
    return None


@pytest.mark.parametrize("lines", sorted(REFUSED), ids=repr)
def test_fields_that_dpkg_does_not_read_are_refused_by_name(judge: Judge, lines: bytes) -> None:
    control = START + lines + END
    reason = refusal(control)
    assert reason is not None
    assert f"has a {lines.partition(b':')[0].decode()} with which no dpkg installs the package" in reason
    assert REFUSED[lines] in reason
    assert reason.isprintable()
    assert not judge.reads(control)
    with pytest.raises(Refused):
        read_stanza(control)


@pytest.mark.parametrize("lines", TAKEN, ids=repr)
def test_fields_that_dpkg_reads_are_accepted(judge: Judge, lines: bytes) -> None:
    control = START + lines + END
    read_stanza(control)
    assert judge.reads(control)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (b"Description: x", "does not end with a newline"),
        (b"Description: x\n y", "does not end with a newline"),
        (b"Description: x\nDepends:", "does not end with a newline"),
        (b"Description: x\nDepends:\n", "ends with a field that is empty"),
        (b"Description: x\nHomepage: \t\r\n", "ends with a field that is empty"),
    ],
)
def test_a_control_file_whose_end_dpkg_does_not_read_is_refused(judge: Judge, end: bytes, told: str) -> None:
    control = START + b"Maintainer: a <a@example.com>\n" + end
    with pytest.raises(Refused, match=f"its control file {told}, so that no dpkg installs the package"):
        read_stanza(control)
    assert not judge.reads(control)


@pytest.mark.parametrize("end", [b"Description: x\n\n", b"Depends:\n\n", b"X-Files:\n a\n", b"Homepage: :\n"])
def test_other_ends_of_a_control_file_are_accepted(judge: Judge, end: bytes) -> None:
    control = START + b"Maintainer: a <a@example.com>\nX-Field: y\n" + end
    read_stanza(control)
    assert judge.reads(control)


@pytest.mark.parametrize("name", [b"Revision", b"package-revision", b"Package_Revision"])
def test_a_version_in_two_fields_is_refused_since_dpkg_installs_another_than_apt_offers(name: bytes) -> None:
    with pytest.raises(Refused, match=f"has a {name.decode()}, which dpkg appends to the version: it installs another"):
        read_stanza(START + name + b": 2 b" + END)


_VALUE = st.lists(
    st.sampled_from(
        [
            *(b"a", b"libc6", b"b:any", b":", b"${v}", b"_", b"@", b"\xe4", b"D", b"yes", b"same"),
            *(b"(", b")", b"<", b">", b"=", b">=", b"<<", b"~>", b"!", b"[", b"]", b",", b", ", b"|", b"\n ", b"\t"),
            *(
                b" ",
                b"1",
                b"2.0-1",
                b" (>= 1)",
                b"(=1)",
                b"(1)",
                b"(=v1)",
                b"(= 1-1:1)",
                b" (= )",
                b"a (= 1:1), ",
                b"(<< 1.0~-)",
            ),
        ]
    ),
    max_size=7,
).map(b"".join)
_FIELDS = (b"Depends", b"Enhances", b"Conflicts", b"Provides", b"Essential", b"Multi-Arch")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(_FIELDS), st.one_of(_VALUE, _VALUE.map(lambda rest: b"a " + rest)))
def test_nothing_that_dpkg_reads_is_refused(judge: Judge, field: bytes, value: bytes) -> None:
    control = START + field + b": " + value + END
    try:
        reason = refusal(control)
    except Refused:
        # A control file that is none.
        return
    assert reason is None or not judge.reads(control)


@pytest.mark.parametrize("unit", [b" ", b"(", b"a ", b"a|", b"1:", b"a,", b"\n "])
def test_a_long_value_takes_little_time(unit: bytes) -> None:
    value = b"a (" + unit * ((CONTROL_FILE_LIMIT - 100) // len(unit)) + b"!"
    began_s = time.process_time()
    refusal(START + b"Depends: " + value.replace(b"\n ", b"\n x") + b"\n")
    assert time.process_time() - began_s < 5
