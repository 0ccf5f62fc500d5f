"""What a command says of a refusal is what an operator can act on, not the protocol around it."""

import pytest

from packrat_core.errors import ServerRefused
from packrat_server.client.refusals import explain


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ('Invalid Result Value: "unusable deb: it is damaged"', None, "unusable deb: it is damaged"),
        ('limit: Invalid Value "0": give 1 to 10', None, 'limit: Invalid Value "0": give 1 to 10'),
        ("tag: Invalid Value \"there is no tag 'x', there are dev\"", None, "tag: there is no tag 'x', there are dev"),
        (
            "Change Control Id has more than 50 characters",
            "CHANGECONTROL_INVALID",
            "the change control id is too long: give --change-control up to 50 characters",
        ),
        ("what nobody knows yet", "NEW_RULE", "what nobody knows yet"),
    ],
)
def test_a_refusal_is_reported_without_the_protocol(said: str, code: str | None, told: str) -> None:
    error = ServerRefused(f"CALL /api/v2/X at http://127.0.0.1:1: 400, {said}", code, by_api=True, api_message=said)
    assert explain(error) == told
