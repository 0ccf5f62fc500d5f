"""What a server says of changes is bounded in the number of repositories."""

import pytest

from packrat_agent.upstream.read_changes import read_changes
from packrat_core.errors import ServerBroken

REPOS = "/api/v2/Repo/Repo"


@pytest.mark.parametrize(("count", "is_taken"), [(4000, True), (4001, False)])
def test_an_answer_names_no_more_repositories_than_a_mirror_can_have(count: int, *, is_taken: bool) -> None:
    value = {"position": "1", "changes": {f"{REPOS}:r{number}:": None for number in range(count)}}
    if is_taken:
        assert len(read_changes(value, "mirror", ()).repos) == count
    else:
        with pytest.raises(ServerBroken, match="changes answered with more than 4000 repositories"):
            read_changes(value, "mirror", ())
