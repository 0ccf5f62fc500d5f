"""Arguments that can't be used are refused by name, with what was given and what would do."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from packrat_server.api.description import Parameter
from packrat_server.api.messages import CinpError
from packrat_server.api.values import read_arguments
from support.world import SECRETS, World, world

FILES = "/api/v2/Package/PackageFile"
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


@pytest.mark.parametrize("given", [{}, {"repo": None, "limit": None, "exact": None}])
def test_null_is_as_good_as_nothing_where_an_argument_is_optional(given: dict[str, Any]) -> None:
    optional = (replace(REPO, optional=True), replace(NUMBER, optional=True, default=100), replace(FLAG, optional=True))
    assert read_arguments(optional, given) == {"repo": None, "limit": 100, "exact": None}
    with pytest.raises(CinpError):
        read_arguments((REPO,), given)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.mark.parametrize(
    ("who", "verb", "target", "given", "told"),
    [
        (
            "reader",
            "CALL",
            f"{FILES}(history)",
            {"package": None, "file_name": None, "file": None},
            {"package": "Required Paramater: give package, file_name or file"},
        ),
        (
            "lab",
            "CALL",
            "/api/v2/Repo/Mirror:lab:(report)",
            {"published": [{}] * 501},
            {"published": 'Invalid Value "more than 500 repositories at once"'},
        ),
        (
            "lab",
            "CALL",
            f"{FILES}(bundle)",
            {"files": [f"{FILES}:1:"] * 301},
            {"files": 'Invalid Value "give up to 300 files"'},
        ),
        (
            "manager",
            "CALL",
            "/api/v2/Auth/User(change_password)",
            {"password": "", "old_password": SECRETS["manager"]},
            {"password": 'Invalid Value "an empty password"'},
        ),
        (
            "root",
            "UPDATE",
            "/api/v2/Package/Package:hello:myall:",
            {"failed_count": 7},
            {"message": "UPDATE takes one id"},
        ),
    ],
)
def test_a_call_that_can_not_be_meant_is_refused(
    server: World, who: str, verb: str, target: str, given: dict[str, Any], told: dict[str, str]
) -> None:
    answer = server.call(verb, target, given, who)
    assert answer.status == 400
    assert {name: answer.value[name] for name in told} == told
