"""Which key signs which repository."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.gpg.signing_key import PublicKey, SigningKey
from packrat_agent.gpg.signing_keys import PreparedKey, SigningKeys
from packrat_agent.model.records import Repo

_NAMES = st.sampled_from(["dev", "prod", "apt-dev", "apt-prod", "repo", "tag", ""])
_REPOS = st.builds(lambda name, tag: Repo(name or "x", "", name or "x", "apt", (), tag=tag), _NAMES, _NAMES)
_SECTIONS = st.sets(st.tuples(st.sampled_from(["repo", "tag"]), _NAMES.filter(bool)))


def prepared(name: str) -> PreparedKey:
    key = SigningKey(name, name, "", "RSA", 3072, None, datetime.now(UTC), None, None)
    return PreparedKey(key, PublicKey(b"", b""))


@given(_REPOS, _SECTIONS, st.booleans())
def test_the_nearest_section_counts(repo: Repo, sections: set[tuple[str, str]], has_main: bool) -> None:
    names = [" ".join(section) for section in sections]
    keys = SigningKeys(prepared("main") if has_main else None, {name: prepared(name) for name in names})
    wanted: Any = "main" if has_main else None
    for name in (f"tag {repo.tag}", f"repo {repo.name}"):
        wanted = name if name in names else wanted
    found = keys.of(repo)
    assert (found.key.fingerprint if found is not None else None) == wanted
    is_own = wanted in names
    assert (keys.section_of(repo) is not None) == is_own
    assert keys.place_of(repo).armored == (f"repo-keys/{repo.name}.asc" if is_own else "repo-key")


def test_a_section_of_nothing_is_reported_once_it_can_be_known() -> None:
    keys = SigningKeys(
        None, {name: prepared(name) for name in ("repo apt-prod", "repo apt-prdo", "tag prod", "tag prd")}
    )
    repo = Repo("apt-prod", "", "apt-prod", "apt", ())
    assert keys.unused([]) == ()
    assert keys.unused([repo]) == ("repo apt-prdo",)
    assert keys.unused([replace(repo, tag="prod")]) == ("repo apt-prdo", "tag prd")
