"""Records that lie: each is left out by a line that names it, the others are published, nothing escapes."""

from typing import Any
from urllib.parse import quote

import pytest

from packrat_demo.build_deb import Deb, build_deb
from support.evil import FILE, REPO, Send, Victim, head, repo_record

GOOD = "apt-dev/pool/good/good_1_all.deb"
NAMES = {
    "slash": "a/b.deb",
    "escaped slash": "a%2fb.deb",
    "up": "../../../../precious/file",
    "escaped up": "%2e%2e%2f%2e%2e%2fprecious%2ffile",
    "twice escaped": "%252e%252e%252fprecious",
    "absolute": "/etc/passwd",
    "nul": "a%00.deb",
    "newline": "a%0a.deb",
    "dash": "-rf.deb",
    "dot": ".htaccess",
    "only dots": "..",
    "empty": "",
    "long": "a" * 4000 + ".deb",
    "look-alike": quote("gооd_1_all.deb"),
    "wide slash": quote("a\uff0fb.deb"),
    "other direction": quote("a\u202ebed.b"),
    "no utf-8": "a%ff.deb",
    "backslash": "a%5cb.deb",
    "space": "a%20b.deb",
    "query": "good_1_all.deb?x=/../..",
}
FIELDS: dict[str, dict[str, Any]] = {
    "no hash": {"sha256": None},
    "short hash": {"sha256": "ab" * 31},
    "long hash": {"sha256": "ab" * 33},
    "no hex": {"sha256": "g" * 64},
    "path as hash": {"sha256": "../" * 21 + "a"},
    "list as hash": {"sha256": ["a" * 64]},
    "another origin": {"file": "http://169.254.169.254/latest/meta-data/"},
    "another scheme": {"file": "file:///etc/passwd"},
    "no host": {"file": "//169.254.169.254/files/x.deb"},
    "not below files": {"file": "/api/v2/x.deb"},
    "number as file": {"file": 5},
    "package with slash": {"package": "/api/v2/Package/Package:../../x:"},
    "package is none": {"package": None},
    "distribution up": {"distroversion": "/api/v2/Attrib/DistroVersion:../x:"},
    "version with newline": {"version": "1\nFilename: pool/evil"},
    "version of a megabyte": {"version": "1" * 1_000_000},
    "type is a path": {"type": "../deb"},
    "arch is a path": {"arch": "../../x"},
    "arch is a list": {"arch": ["all"]},
}


def test_records_of_files_that_lie_are_named_and_left_out(lured: Victim) -> None:
    odd = {f"n{number}": {"file": f"/files/{name}"} for number, name in enumerate(NAMES.values())}
    odd |= {f"f{number}": fields for number, fields in enumerate(FIELDS.values())}
    for number, (one, fields) in enumerate(odd.items()):
        lured.evil.add(one, Deb(f"evil-{number}", "1", "all"), **fields)
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert lured.pool() == [GOOD]
    assert [name for name in odd if f"{FILE}:{name}:" not in ended.said] == []
    assert not any(line.startswith("Filename: pool/evil") for line in ended.said.splitlines())
    assert ended.memory_mib < 200


def test_uris_that_lie_are_shown_and_left_out(lured: Victim) -> None:
    lured.evil.listed = [
        f"{FILE}:1:",
        f"{FILE}:../../x:",
        f"{FILE}:1:2:",
        f"{FILE}:\x1b[2J:",
        f"{FILE}:{'9' * 4000}:",
        "/api/v2/Repo/Repo:apt-dev:",
        "http://169.254.169.254/",
        "",
    ]
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert lured.pool() == [GOOD]
    assert "\x1b" not in ended.said
    assert "169.254.169.254" in ended.said
    assert not [line for line in lured.evil.asked if ".." in line]


def test_bad_uris_beyond_counting_are_counted(lured: Victim) -> None:
    lured.evil.listed = [f"{FILE}:1:", *(f"{FILE}:!{number}:" for number in range(300_000))]
    ended = lured.sync()
    assert ended.code == 12
    assert lured.pool() == [GOOD]
    assert "299000 more" in ended.said
    assert len(ended.said) < 2_000_000
    assert ended.memory_mib < 200


@pytest.mark.parametrize("answered", ["{}", '{"name": "good"}', f'{{"{FILE}:2:": null}}'])
def test_a_listed_file_whose_record_is_not_shown_does_not_pass_for_removed(lured: Victim, answered: str) -> None:
    lured.evil.add("2", Deb("other", "1", "all"))

    async def lie(send: Send) -> None:
        await send(head(Content_Length=str(len(answered))) + answered.encode())

    lured.evil.lies["GET", FILE] = lie
    ended = lured.sync()
    assert ended.code == 12, ended.said
    for number in (1, 2):
        assert f'record={FILE}:{number}: reason="the server does not show it"' in ended.said


def test_an_upper_case_hash_is_a_hash(lured: Victim) -> None:
    sha256 = lured.evil.files["1"]["sha256"].upper()
    lured.evil.files["1"]["sha256"] = sha256
    assert lured.sync().code == 0
    assert lured.pool() == [GOOD]


def test_other_bytes_than_the_hash_says_are_never_visible(lured: Victim) -> None:
    lured.evil.add("2", Deb("evil", "1", "all"), sha256="a" * 64)
    ended = lured.sync()
    assert ended.code == 12
    assert f"{FILE}:2:" in ended.said
    assert lured.pool() == [GOOD]


def test_a_name_in_two_spellings_is_one_place(lured: Victim) -> None:
    other = build_deb(Deb("good", "1", "all", (("Section", "net"),)))
    lured.evil.add("2", Deb("good", "1", "all", (("Section", "net"),)), file="/files/g%6fod%5f1_all.deb")
    lured.evil.contents["/files/good_1_all.deb"] = build_deb(Deb("good", "1", "all"))
    lured.evil.contents["/files/g%6fod%5f1_all.deb"] = other
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert "already the place of" in ended.said
    assert (lured.www / GOOD).read_bytes() == build_deb(Deb("good", "1", "all"))


DIRECTORIES: dict[str, Any] = {
    "up": "../precious",
    "absolute": "/precious",
    "dot": ".packrat-agent/staging",
    "inside": "apt-dev/pool",
    "empty": "",
    "deep": "a/b/c/d/e",
    "twice slash": "a//b",
    "trailing slash": "a/",
    "the landing page": "index.html",
    "the key": "repo-key.gpg/x",
    "newline": "a\nb",
    "long": "a" * 4000,
    "look-alike": "арt-dev",
    "none": None,
    "list": ["a"],
}


def test_repositories_that_lie_are_named_and_left_out(lured: Victim) -> None:
    lured.evil.repos |= {
        f"evil-{number}": repo_record(f"evil-{number}", directory)
        for number, directory in enumerate(DIRECTORIES.values())
    }
    lured.evil.repos["liar"] = repo_record("apt-dev", "elsewhere")
    lured.evil.repos["odd-kind"] = {**repo_record("odd-kind", "odd-kind"), "manager_type": "../../x"}
    lured.evil.repos["twin"] = repo_record("twin", "apt-dev")
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert lured.pool() == [GOOD]
    names = [name for name in lured.evil.repos if name != "apt-dev"]
    assert [name for name in names if f"{REPO}:{name}:" not in ended.said] == []
    assert {path.name for path in lured.www.iterdir()} == {".packrat-agent", "apt-dev", "index.html", "repo-page"}


def test_a_directory_that_is_the_parent_of_another_ones_is_refused(lured: Victim) -> None:
    lured.evil.repos = {
        "inner": repo_record("inner", "apt/dev"),
        "outer": repo_record("outer", "apt"),
    }
    ended = lured.sync()
    assert ended.code == 12
    assert f"{REPO}:outer:" in ended.said
    assert "contain each other" in ended.said
    assert lured.pool() == ["apt/dev/pool/good/good_1_all.deb"]


@pytest.mark.parametrize("directory", ["kept", "kept/inside", "tree", "tree/inside"])
def test_nothing_is_written_where_the_operator_keeps_files(lured: Victim, directory: str) -> None:
    lured.extra = f"keep_file_list: {lured.www}/kept, {lured.www}/tree\n"
    (lured.www / "tree").mkdir(parents=True)
    (lured.www / "kept").write_text("mine")
    (lured.www / "tree" / "file").write_text("mine")
    lured.evil.repos["evil"] = repo_record("evil", directory)
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert "keep_file" in ended.said
    assert (lured.www / "kept").read_text() == "mine"
    assert [path.name for path in (lured.www / "tree").iterdir()] == ["file"]
    assert lured.pool() == [GOOD]


def test_a_kept_file_in_the_directory_of_a_repository_stays(lured: Victim) -> None:
    kept = lured.www / "apt-dev/pool/evil/evil_1_all.deb"
    lured.extra = f"keep_file: {kept}\nkeep_file: {lured.www}/apt-dev/notes.txt\n"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    (lured.www / "apt-dev/notes.txt").write_text("mine")
    lured.evil.add("2", Deb("evil", "1", "all"))
    ended = lured.sync()
    if ended.code == 9:
        # Files of the operator below a directory that is not listed itself are somebody else's at first.
        (lured.www / ".packrat-agent").mkdir(mode=0o700)
        (lured.www / ".packrat-agent" / "mark").write_text("{}")
        ended = lured.sync()
    assert ended.code == 12, ended.said
    assert kept.read_text() == "mine"
    assert (lured.www / "apt-dev/notes.txt").read_text() == "mine"
    assert (lured.www / GOOD).exists()
