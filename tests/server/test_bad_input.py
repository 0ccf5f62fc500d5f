"""Arguments that can't be used are refused by name, with what was given and what would do."""

from typing import Any

import pytest

from packrat_server.api.description import Parameter
from packrat_server.api.messages import CinpError
from packrat_server.api.values import read_arguments

TEXT, NUMBER, FLAG = Parameter("name", "String"), Parameter("limit", "Integer"), Parameter("exact", "Boolean")
FILE, REPO = Parameter("file", "File"), Parameter("repo", "Model", {"uri": "/api/v2/Repo/Repo"})


@pytest.mark.parametrize(
    ("parameter", "value", "told"),
    [
        (TEXT, ["a"], 'Unable to convert to a str: ["a"], give a text'),
        (TEXT, "a\0", "Unable to store as a str: it holds a NUL or half a surrogate pair"),
        (TEXT, "x" * 100_001, "Unable to store as a str: it has 100001 characters, give up to 100000"),
        (NUMBER, 10**12, "Unable to store as an int: 1000000000000, give -2147483648 to 2147483648"),
        # As the original server says it.
        (NUMBER, "abc", "Unable to convert to an int"),
        (FLAG, "yes", 'Unable to convert to a bool: "yes", give true or false'),
        (FILE, "file:///x", 'Unable to parse URI of an upload: "file:///x", give what /api/upload answered, djfh://…'),
        (REPO, "/api/v2/Repo/Repo:a:b:", 'Unable to parse URI "/api/v2/Repo/Repo:a:b:"'),
        (FLAG, "x" * 1000, 'Unable to convert to a bool: "' + "x" * 59 + "…, give true or false"),
    ],
)
def test_an_argument_is_refused_with_what_was_given(parameter: Parameter, value: Any, told: str) -> None:
    with pytest.raises(CinpError) as refusal:
        read_arguments((parameter,), {parameter.name: value})
    assert refusal.value.status == 400
    assert refusal.value.body == {parameter.name: f'Invalid Value "{told}"'}
