"""What others wrote is shown on a terminal without steering it, and nothing of it that can be shown is lost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_core.text import count_of, hide_login, human_age, human_size, name_some, printable, quote

_ANY_TEXT = st.text(st.characters() | st.sampled_from('\x00\x07\x1b\x7f\x85\x9b\u2028\u202e\ud800\n\r\t"\\'))


@given(_ANY_TEXT, st.sampled_from("? "))
def test_printable_text_steers_no_terminal_and_keeps_all_else(text: str, substitute: str) -> None:
    shown = printable(text, substitute)
    assert shown.isprintable()
    assert len(shown) == len(text)
    for before, after in zip(text, shown, strict=True):
        assert after == (before if before.isprintable() else substitute)


@given(_ANY_TEXT)
def test_quoted_text_is_one_printable_line_and_can_be_read_back(text: str) -> None:
    quoted = quote(text)
    assert quoted.isprintable()
    assert json.loads(quoted) == text


@pytest.mark.parametrize(
    ("text", "shown", "quoted"),
    [
        ("größe 5", "größe 5", '"größe 5"'),
        ("a\x1b[2J\nb", "a?[2J?b", r'"a\u001b[2J\nb"'),
        ("c1 \x9b31m, rtl \u202e", "c1 ?31m, rtl ?", r'"c1 \u009b31m, rtl \u202e"'),
        ("half \ud800", "half ?", r'"half \ud800"'),
    ],
)
def test_text_as_it_is_shown(text: str, shown: str, quoted: str) -> None:
    assert printable(text) == shown
    assert quote(text) == quoted


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes_are_written_with_their_unit(size: int, shown: str) -> None:
    assert human_size(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0.0 s"), (0.25, "0.2 s"), (9.9, "9.9 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_spans_of_time_are_written_with_their_unit(seconds: float, shown: str) -> None:
    assert human_age(seconds) == shown


@pytest.mark.parametrize(
    ("number", "words", "grouped", "written"),
    [
        (0, ("file",), False, "0 files"),
        (1, ("file",), False, "1 file"),
        (2, ("repository", "repositories"), False, "2 repositories"),
        (1, ("repository", "repositories"), True, "1 repository"),
        (4000, ("file",), False, "4000 files"),
        (4000, ("file is live", "files are live"), True, "4,000 files are live"),
    ],
)
def test_one_thing_is_singular_and_others_are_plural(
    number: int, words: tuple[str, ...], grouped: bool, written: str
) -> None:
    assert count_of(number, *words, grouped=grouped) == written


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://proxy.example.com:3128/", "http://proxy.example.com:3128/"),
        ("http://user:secret@proxy:3128/", "http://***@proxy:3128/"),
        ("http://secret@proxy:3128", "http://***@proxy:3128"),
        ("http://secret:@[fd00::1]:3128", "http://***@[fd00::1]:3128"),
        ("user:secret@proxy:3128", "***@proxy:3128"),
        # As nobody should write it, and some programs take it.
        ("http://user:secret#?/@secret@proxy:3128", "http://***@proxy:3128"),
        ("http://[user:secret@proxy", "http://***@proxy"),
    ],
)
def test_a_url_is_shown_without_the_login_in_it(url: str, shown: str) -> None:
    assert hide_login(url) == shown


def test_the_first_of_many_names_are_listed_and_the_rest_counted() -> None:
    names = [f"p{number}" for number in range(10_001)]
    assert name_some([]) == ""
    assert name_some(names[:20], ",") == ",".join(names[:20])
    assert name_some(names[:21]) == ", ".join(names[:20]) + " and 1 more"
    assert name_some(names).endswith(", p19 and 9,981 more")
