"""The name of an image's file says image and tag; what one writes the other reads."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from packrat_core.errors import Refused
from packrat_core.packages.image.names import GREETING, IMAGE, TAG, check_image, join_file_name, split_file_name


@given(st.from_regex(IMAGE, fullmatch=True), st.from_regex(TAG, fullmatch=True))
def test_a_name_that_was_joined_is_split_into_the_same(image: str, tag: str) -> None:
    assume(len(image) <= 128 and image != GREETING)
    assert split_file_name(join_file_name(image, tag)) == (image, tag)


@given(st.text(alphabet="aB1_.-~/:", max_size=20))
def test_the_parts_of_a_split_name_are_allowed_and_stand_in_it(stem: str) -> None:
    try:
        image, tag = split_file_name(f"{stem}.tar")
    except Refused:
        return
    assert re.fullmatch(IMAGE, image)
    assert re.fullmatch(TAG, tag)
    assert stem in (f"{image}_{tag}", f"{image}~{tag}")


@pytest.mark.parametrize("name", ["app.tar", "_1.0.tar", "app_.tar", "app~.tar"])
def test_a_name_without_a_version_says_what_it_lacks(name: str) -> None:
    with pytest.raises(Refused, match="no version: call it <image>_<version>"):
        split_file_name(name)


def test_a_slash_is_refused_with_another_name() -> None:
    with pytest.raises(Refused, match="call it 'org-app'"):
        check_image("org/app")


@pytest.mark.parametrize(("length", "is_allowed"), [(128, True), (129, False)])
def test_names_have_a_limit(length: int, is_allowed: bool) -> None:
    if is_allowed:
        assert check_image("a" * length)
    else:
        with pytest.raises(Refused):
            check_image("a" * length)


@pytest.mark.parametrize("name", ["index.html_1.0.tar", "index.html~stable.tar"])
def test_no_image_takes_the_place_of_the_greeting(name: str) -> None:
    with pytest.raises(Refused, match="the registry has a file of that name"):
        split_file_name(name)
