"""What is remembered of names and versions is what packaging says, and no text fills the memory."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from packrat_core.packages.python import spellings
from packrat_core.packages.python.spellings import normalize, version_of

VERSIONS = st.from_regex(r"v?[0-9]{1,3}(\.[0-9]{1,2})*((a|rc|\.post|\.dev)[0-9])?(\+[a-z0-9.]{1,5})?", fullmatch=True)


def outcome(read: Callable[[str], object], text: str) -> object:
    try:
        return read(text), str(read(text))
    except ValueError as error:
        return type(error), str(error)


@given(st.text(max_size=20) | st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True) | st.just("x" * 201))
def test_names_are_spelled_as_packaging_does(name: str) -> None:
    for _ in range(2):
        assert normalize(name) == canonicalize_name(name)


@given(VERSIONS | st.text(max_size=8) | st.sampled_from(["1" * 200, "1" * 201, "1" * 5000]))
def test_versions_are_read_as_packaging_does(text: str) -> None:
    for _ in range(2):
        assert outcome(version_of, text) == outcome(Version, text)


def test_a_long_text_is_not_kept() -> None:
    before = spellings._normalize.cache_info(), spellings._version_of.cache_info()
    normalize("x" * 201)
    version_of("1" * 201)
    assert (spellings._normalize.cache_info(), spellings._version_of.cache_info()) == before
    normalize("x" * 200)
    assert spellings._normalize.cache_info() != before[0]
