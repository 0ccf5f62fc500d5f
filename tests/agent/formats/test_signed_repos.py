"""Which repositories lose something where the key is taken away."""

import pytest

from packrat_agent.formats.signed_repos import has_signatures
from packrat_agent.model.records import Repo

URL = "http://repo.example.com"


@pytest.mark.parametrize(
    ("kind", "url", "signed"),
    [
        ("apt", None, True),
        ("yum", None, True),
        ("json", None, True),
        ("docker", URL, True),
        ("docker", None, False),
        ("pypi", URL, False),
        ("other", URL, False),
    ],
)
def test_a_repository_is_signed_where_its_type_is(kind: str, url: str | None, signed: bool) -> None:
    assert has_signatures(Repo("one", "", "one", kind, ()), url) is signed
