"""Refusals of the server in words that say what to do."""

import pytest

from packrat_core.errors import ServerRefused
from packrat_server.client.refusals import explain


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            'Invalid Result Value: "x_1_all.deb is not a package in deb format"',
            "x_1_all.deb is not a package in deb format; is the file whole? Build or download it again",
        ),
        (
            'Unable to Parse "/api/nonsense(tag)"',
            "that is not the URI of a package file; give one as `upload` prints it, or the name of the file",
        ),
        ('Required tag "dev" missing', "tag it dev first; `packrat-server promote` puts on all tags that one requires"),
        ("something new", "something new"),
    ],
)
def test_words_of_the_server_become_advice(said: str, told: str) -> None:
    refused = ServerRefused(f"CALL /api/v2/Package/PackageFile:1:(tag): 400, {said}", by_api=True, api_message=said)
    assert explain(refused) == told
