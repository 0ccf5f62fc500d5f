"""The server's records: what gets through is safe as a path, a row and a line of text; the rest is rejected by name."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.upstream.records import (
    DISTRO_VERSION,
    PACKAGE,
    PACKAGE_FILE,
    REPO,
    Unusable,
    find_overlaps,
    read_directory,
    read_distro_version,
    read_file,
    read_id,
    read_ids,
    read_repo,
    read_text,
    shown,
)

BOOKWORM = DistroVersion("bookworm", "debian", "bookworm", "deb")
URI = f"{PACKAGE_FILE}:7:"

NO_SEGMENT = [
    *(
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a/../b",
        "-rf",
        ".hidden",
        "+x",
        "~x",
        "a b",
        "a\\b",
        "a\0b",
        "a\n",
    ),
    *(
        "\na",
        "a\tb",
        "a\x1b[2J",
        "ä",
        "a\u202eb",
        "\ud800",
        "a*",
        "a?",
        "a;b",
        "a|b",
        "$x",
        "a'b",
        'a"b',
        "<a>",
        "a%2Fb",
    ),
    *("x" * 201, "x" * 4000, "＊", "a\x7f"),
]
"""What can't be one segment of a path, whatever it is to name."""


def package_file(**fields: Any) -> PackageFile:
    record = {
        "package": f"{PACKAGE}:hello:",
        "distroversion": f"{DISTRO_VERSION}:bookworm:",
        "version": "1:2.10-3~rc1+b1",
        "type": "deb",
        "arch": "x86_64",
        "file": "/files/hello_2.10-3~rc1+b1_amd64.deb",
        "sha256": "a" * 64,
        "failed_at": None,
    }
    return read_file(URI, record | fields)


def repo(**fields: Any) -> Repo:
    record = {
        "name": "apt-dev",
        "description": "Development packages",
        "filesystem_dir": "apt-dev",
        "manager_type": "apt",
        "distroversion_list": [f"{DISTRO_VERSION}:bookworm:"],
        "tag": "/api/v2/Attrib/Tag:dev:",
        "show_only_latest": False,
    }
    return read_repo("apt-dev", record | fields, {"bookworm": BOOKWORM})


def distro_version(**fields: Any) -> DistroVersion:
    record = {"name": "bookworm", "distro": "debian", "version": "bookworm", "file_type": "deb", "release_names": "x"}
    return read_distro_version("bookworm", record | fields)


def test_good_records_are_taken_as_they_are() -> None:
    assert package_file() == PackageFile(
        URI,
        "hello",
        "bookworm",
        "1:2.10-3~rc1+b1",
        "deb",
        "x86_64",
        "/files/hello_2.10-3~rc1+b1_amd64.deb",
        "hello_2.10-3~rc1+b1_amd64.deb",
        "a" * 64,
    )
    assert repo() == Repo("apt-dev", "Development packages", "apt-dev", "apt", (BOOKWORM,), False, "dev")
    assert distro_version() == BOOKWORM
    assert distro_version(version=None).version is None


def test_a_hash_is_the_same_in_upper_case() -> None:
    assert package_file(sha256="AB" * 32).sha256 == "ab" * 32


@pytest.mark.parametrize(
    "sha256", ["", "a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n", "٠" * 64, "../" + "a" * 61, None, 5, ["a" * 64]]
)
def test_a_malformed_sha256_is_rejected(sha256: Any) -> None:
    with pytest.raises(Unusable, match="is not a SHA-256"):
        package_file(sha256=sha256)


@pytest.mark.parametrize("name", NO_SEGMENT)
def test_no_file_name_leaves_its_directory(name: str) -> None:
    with pytest.raises((Unusable, UnicodeDecodeError)):
        package_file(file=f"/files/{name}")


@pytest.mark.parametrize("name", ["%2e%2e", "..%2fx", "a%00b", "%2e", "a%0ab", "%ff", "a%2Fb", "%252e/x", "%2Dx"])
def test_no_escape_in_a_file_name_gets_around_that(name: str) -> None:
    with pytest.raises((Unusable, UnicodeDecodeError)):
        package_file(file=f"/files/{name}")


def test_a_file_name_may_be_escaped() -> None:
    file = package_file(file="/files/g%2B%2B_4%3A12.2_amd64.deb")
    assert (file.file_name, file.url) == ("g++_4:12.2_amd64.deb", "/files/g%2B%2B_4%3A12.2_amd64.deb")


@pytest.mark.parametrize("url", ["/file/x", "files/x", "//evil/files/x", "http://evil/files/x", "/files", None, 1, []])
def test_a_file_lies_below_files(url: Any) -> None:
    with pytest.raises(Unusable, match="is not a path below /files/"):
        package_file(file=url)


@pytest.mark.parametrize("name", NO_SEGMENT)
@pytest.mark.parametrize("field", ["package", "distroversion"])
def test_no_id_is_more_than_a_word(field: str, name: str) -> None:
    model = {"package": PACKAGE, "distroversion": DISTRO_VERSION}[field]
    with pytest.raises(Unusable):
        package_file(**{field: f"{model}:{name}:"})


@pytest.mark.parametrize(
    "uri",
    [
        *(None, 5, [], {}, "", "x", PACKAGE, f"{PACKAGE}:", f"{PACKAGE}::", f"{PACKAGE}:x", f"{PACKAGE}:x:y:"),
        *(f"{PACKAGE_FILE}:1:", f" {PACKAGE}:x:", f"{PACKAGE}:x:\n", f"{PACKAGE}:x:(tag)"),
    ],
)
def test_a_uri_of_another_model_is_rejected(uri: Any) -> None:
    with pytest.raises(Unusable) as caught:
        read_id(uri, PACKAGE)
    assert str(caught.value).isprintable()


def test_ids_are_taken_once_and_in_order() -> None:
    uris = [f"{REPO}:b:", f"{REPO}:a:", f"{REPO}:b:"]
    assert read_ids(uris, REPO, "list") == ("b", "a")


@pytest.mark.parametrize("wrong", [None, {}, "x", [None], [f"{REPO}:a:", f"{PACKAGE}:a:"]])
def test_a_list_with_something_else_in_it_is_rejected(wrong: Any) -> None:
    with pytest.raises(Unusable):
        read_ids(wrong, REPO, "list")


@pytest.mark.parametrize("field", ["type", "arch"])
@pytest.mark.parametrize("value", [*NO_SEGMENT, "x" * 51, None, 1, True, ["deb"]])
def test_a_kind_and_an_architecture_are_words(field: str, value: Any) -> None:
    with pytest.raises(Unusable, match=f"its {field} .* can't be used"):
        package_file(**{field: value})


@pytest.mark.parametrize("value", ["", " ", "1 2", "1\n", "1\0", "\x1b[2J", "\ud800", "1" * 201, None, 1, 1.0])
def test_a_version_is_a_printable_word(value: Any) -> None:
    with pytest.raises(Unusable, match="its version"):
        package_file(version=value)


@pytest.mark.parametrize("directory", ["a", "a/b", "a/b/c/d", "apt.dev", "A_1+x", "debian-12~x"])
def test_a_directory_has_one_to_four_levels(directory: str) -> None:
    assert repo(filesystem_dir=directory).directory == directory


@pytest.mark.parametrize(
    "directory",
    [
        *NO_SEGMENT[:3],
        *("/", "/a", "a/", "a//b", "a/./b", "a/../../b", "a/.b", "a/-b", "a/b/c/d/e", ".packrat-agent", "a\0/b"),
        *("index.html", "repo-key", "repo-key.gpg/x", "x" * 201, "x" * 4000, "/".join("x" * 300), "\ud800", "a\n"),
        *(None, 1, ["a"]),
    ],
)
def test_no_directory_leaves_the_mirror_or_hides_in_it(directory: Any) -> None:
    with pytest.raises(Unusable) as caught:
        read_directory(directory)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", "apt-prod", "it calls itself 'apt-prod'"),
        ("name", None, "it calls itself None"),
        ("description", "two\nlines", "not one line of printable text"),
        ("description", "x" * 1001, "not one line"),
        ("description", ["x"], "its description list is not one line"),
        ("manager_type", "../apt", "its manager_type"),
        ("manager_type", None, "its manager_type"),
        ("distroversion_list", None, "its list of distribution versions is not a list"),
        ("distroversion_list", [f"{DISTRO_VERSION}:trixie:"], "its distribution version trixie can't be used"),
        ("show_only_latest", "yes", "its show_only_latest is 'yes'"),
        ("show_only_latest", 1, "its show_only_latest is 1"),
        ("show_only_latest", None, "its show_only_latest is None"),
    ],
)
def test_a_repository_that_can_not_be_used_is_told_why(field: str, value: Any, told: str) -> None:
    with pytest.raises(Unusable, match=re.escape(told)):
        repo(**{field: value})


def test_a_word_is_as_long_as_it_may_be_and_no_longer() -> None:
    assert package_file(arch="x" * 50).arch == repo(manager_type="x" * 50).kind == "x" * 50
    for read, field in ((package_file, "type"), (package_file, "arch"), (repo, "manager_type")):
        with pytest.raises(Unusable, match=f"its {field} .* can't be used"):
            read(**{field: "x" * 51})


def test_a_repository_may_lack_its_description_and_show_only_latest_and_yast_is_yum() -> None:
    assert repo(description=None).description == ""
    assert repo(manager_type="yast").kind == "yum"
    assert repo(distroversion_list=[]).distro_versions == ()


@pytest.mark.parametrize("field", ["version", "distro", "file_type"])
@pytest.mark.parametrize("value", NO_SEGMENT)
def test_a_distribution_version_is_safe_in_a_path(field: str, value: str) -> None:
    with pytest.raises(Unusable, match=f"its {field}"):
        distro_version(**{field: value})


def test_directories_that_contain_each_other_leave_the_first() -> None:
    repos = [
        Repo(name, "", directory, "apt", ())
        for name, directory in [("a", "x/y"), ("b", "x/yz"), ("c", "x"), ("d", "x/y/z"), ("e", "x/y"), ("f", "z")]
    ]
    overlaps = find_overlaps(repos)
    assert sorted(overlaps) == ["c", "d", "e"]
    assert overlaps["d"].startswith("its directory x/y/z and x/y of a contain each other")


_text = st.one_of(st.text(max_size=30), st.text(alphabet="./-_~%aA0\0\n:\\ ", max_size=12), st.sampled_from(NO_SEGMENT))
_any = st.one_of(_text, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(_text, max_size=3))
_safe = re.compile(r"[A-Za-z0-9_][^/\0\s]{0,199}")


def _uris(model: str) -> st.SearchStrategy[Any]:
    return st.one_of(_any, _text.map(lambda one: f"{model}:{one}:"))


@settings(max_examples=1000, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "package": _uris(PACKAGE),
            "distroversion": _uris(DISTRO_VERSION),
            "version": _any,
            "type": _any,
            "arch": _any,
            "file": st.one_of(_any, _text.map(lambda name: f"/files/{name}")),
            "sha256": _any,
        },
    )
)
@example({"file": "/files/%"})
@example({"file": "/files/a%ffb"})
def test_any_record_of_a_file_gives_safe_values_or_is_rejected(fields: dict[str, Any]) -> None:
    try:
        file = package_file(**fields)
    except (Unusable, UnicodeDecodeError) as error:
        assert str(error).isprintable()
        return
    assert _safe.fullmatch(file.file_name)
    for word in (file.package, file.distro_version, file.kind, file.arch):
        assert _safe.fullmatch(word)
    assert file.version.isprintable()
    assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)


@settings(max_examples=1000, deadline=None)
@given(_any)
def test_any_directory_is_inside_or_rejected(value: Any) -> None:
    try:
        directory = read_directory(value)
    except Unusable as error:
        assert str(error).isprintable()
        return
    assert 1 <= len(directory.split("/")) <= 4
    assert all(_safe.fullmatch(part) for part in directory.split("/"))


@given(_any)
def test_any_value_can_be_shown(value: Any) -> None:
    assert shown(value).isprintable()
    assert len(shown(value)) <= 80
    try:
        assert read_text(value, "x").isprintable()
    except Unusable as error:
        assert str(error).isprintable()
