"""Packages renamed because the server can't store their names are these packages; all others stay others."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_agent.formats.record_names import means, published_name
from packrat_agent.model.entries import Fragment, Product

SAME = [
    ("1.6-2.1.deb12u3", "1.6-2.1+deb12u3"),
    ("1.0-rc1", "1.0~rc1"),
    ("1.0rc1", "1.0~rc1"),
    ("python311", "python3.11"),
    ("python3-11", "python3.11"),
    ("python3_11", "python3.11"),
    ("libfoo", "libfoo++"),
    ("libstdc--6", "libstdc++6"),
    ("libfoo_", "libfoo++"),
    ("1.2.0-1", "1:2.0-1"),
    ("12.0-1", "1:2.0-1"),
    ("2.0.git1-1", "2.0^git1-1"),
    ("1.2.0", "1!2.0"),
    ("11", "1.1"),
    ("hello", "hello"),
    ("1.6-2.1+deb12u3", "1.6-2.1+deb12u3"),
]
OTHERS = [
    ("1.6", "1.7"),
    ("1.6-2.1.deb12u3", "1.6-2.1+deb12u2"),
    ("1.6-1", "1.6-1+b1"),
    ("1.0~rc1", "1.0-rc1"),
    ("1.0+rc1", "1.0~rc1"),
    ("1.0", "1-0"),
    ("1.0", "10"),
    ("1.0-1", "1.01"),
    ("hello", "hello-doc"),
    ("hello-doc", "hello"),
    ("Hello", "hello"),
    ("libfoo++", "libfoo"),
    ("libfoopp", "libfoo++"),
    ("python312", "python3.11"),
    ("python3..11", "python3.11"),
    ("", "++"),
    ("", ""),
    ("x", ""),
]

_TEXTS = st.text("a1-_+~.", max_size=4)
_WHAT_STAYS = str.maketrans("", "", "+~:.^!-_")


@pytest.mark.parametrize(("recorded", "inside"), SAME)
def test_a_renamed_package_is_that_package(recorded: str, inside: str) -> None:
    assert means(recorded, inside)


@pytest.mark.parametrize(("recorded", "inside"), OTHERS)
def test_a_record_does_not_name_another_package(recorded: str, inside: str) -> None:
    assert not means(recorded, inside)


@given(st.text("abz019-_+~:.^!", min_size=1, max_size=30), st.lists(st.sampled_from(["", ".", "-", "_", None])))
def test_each_unstorable_character_may_be_kept_dropped_or_replaced(inside: str, ways: Sequence[str | None]) -> None:
    chosen = iter(ways)
    recorded = "".join(
        letter if letter not in "+~:.^!" or (way := next(chosen, "")) is None else way for letter in inside
    )
    assert means(recorded, inside) or (recorded == "" and inside != "")


@settings(max_examples=2000, deadline=None)
@given(_TEXTS, _TEXTS)
@example("1.0", "1-0")
def test_names_that_mean_the_same_differ_only_in_replaced_characters(recorded: str, inside: str) -> None:
    if recorded == inside or not means(recorded, inside):
        return
    # Letters and digits are the same, in the same order.
    assert recorded.translate(_WHAT_STAYS) == inside.translate(_WHAT_STAYS)
    # What a server can store is not replaced, nor does anything come in that it can't.
    for letter in "+~:^!":
        assert recorded.count(letter) <= inside.count(letter)
    assert len(recorded) <= len(inside)
    unstorable = sum(inside.count(letter) for letter in "+~:.^!")
    assert len(inside) - len(recorded) <= unstorable
    assert recorded.count("-") + recorded.count("_") >= inside.count("-") + inside.count("_")


@given(st.text("ab01-_", min_size=1, max_size=20), st.text("ab01-_", min_size=1, max_size=20))
def test_names_that_any_server_can_store_are_never_confused(recorded: str, inside: str) -> None:
    assert means(recorded, inside) is (recorded == inside)


@pytest.mark.timeout(60)
def test_long_texts_cost_little() -> None:
    assert not means("-" * 199 + "x", "+" * 2000 + "y")
    assert means("-" * 200, "+" * 2000)


def called(true_name: str) -> Fragment:
    """A package file that should have that name."""
    return Fragment(
        b"", "x", "1", "all", (Product(".metadata", "0" * 64, 1, True), Product(true_name, "", 1, True)), size=1
    )


LINUX = "torch-2.0.1+cu118-cp311-cp311-linux_aarch64.whl"
ANY = "torch-2.0.1+cu118-1-py2.py3-none-any.whl"
PUBLISHED = [
    (LINUX, LINUX, LINUX),
    ("torch-2.0.1.cu118-cp311-cp311-linux_aarch64.whl", LINUX, LINUX),
    ("torch-2.0.1_cu118-cp311-cp311-linux_aarch64.whl", LINUX, LINUX),
    ("torch-2.0.1cu118-cp311-cp311-linux_aarch64_fXxNNB9.whl", LINUX, LINUX),
    ("torch-2.0.1+cu118-cp311-cp311-linux_aarch64_fXxNNB9.whl", LINUX, LINUX),
    ("torch-2.0.1.cu118-1-py2.py3-none-any.whl", ANY, ANY),
    # Tags that somebody gave to the file stay, also those that look like a suffix.
    ("torch-2.0.1+cu118-cp311-cp311-manylinux2014_aarch64.whl", LINUX, None),
    ("torch-2.0.1.cu118-cp311-cp311-win_arm64.whl", LINUX, "torch-2.0.1+cu118-cp311-cp311-win_arm64.whl"),
    # Another version, another project, another kind of file.
    ("torch-2.0.2.cu118-cp311-cp311-linux_aarch64.whl", LINUX, None),
    ("torchs-2.0.1.cu118-cp311-cp311-linux_aarch64.whl", LINUX, None),
    ("torch-2.0.1.cu118.tar.gz", LINUX, None),
    ("torch.whl", LINUX, None),
    ("pkg-1.0.tar_fXxNNB9.gz", "pkg-1.0.tar.gz", "pkg-1.0.tar.gz"),
    ("pkg-1.0.local.tar_fXxNNB9.gz", "pkg-1.0+local.tar.gz", "pkg-1.0+local.tar.gz"),
    ("pkg-1.0_fXxNNB9.zip", "pkg-1.0.zip", "pkg-1.0.zip"),
    ("pkg-1.1.tar_fXxNNB9.gz", "pkg-1.0.tar.gz", None),
    ("anything", "", None),
]


@pytest.mark.parametrize(("recorded", "true_name", "expected"), PUBLISHED)
def test_the_name_under_which_clients_find_a_file(recorded: str, true_name: str, expected: str | None) -> None:
    fragment = called(true_name) if true_name else Fragment(b"", "x", "1", "all", size=1)
    assert published_name(recorded, fragment) == (expected or recorded)


@given(
    st.from_regex(r"[0-9]!?[0-9](\.[0-9]){0,2}(rc1)?(\+[a-z0-9]{1,3}(\.[0-9])?)?", fullmatch=True),
    st.sampled_from(["any", "linux_x86_64", "linux_aarch64", "manylinux_2_28_x86_64.manylinux2014_x86_64"]),
    st.booleans(),
    st.sampled_from([".", "-", "_", ""]),
)
def test_a_renamed_wheel_gets_its_own_name_again(version: str, platform: str, suffixed: bool, by: str) -> None:
    true_name = f"some_pkg-{version}-py3-none-{platform}.whl"
    suffix = "_aB3dE6g" if suffixed else ""
    recorded = f"some_pkg-{version.replace('+', by).replace('!', by)}-py3-none-{platform}{suffix}.whl"
    assert published_name(recorded, called(true_name)) == true_name
