"""The state database and the line with the signing key are lost at once: only the tree tells that it was signed."""

from pathlib import Path

import pytest

from packrat_agent.formats.signed_repos import is_signature
from support.every_type import REPOS, fill, mirror_of_all
from support.keys import Key
from support.stage import Stage, daemon


def lose(lab: Stage, said: str | None = None) -> None:
    """Lose both; `said`: what mirror.conf says of the key from now on."""
    lab.lose_state()
    lab.key = None
    lab.extra = {} if said is None else {"gpg_sign_key": said}
    lab.write_config()


@pytest.mark.parametrize("has_key", [True, False])
def test_each_signed_type_is_known_by_its_files(tmp_path: Path, key: Key, has_key: bool) -> None:
    with mirror_of_all(tmp_path, key if has_key else None) as lab:
        if has_key:
            fill(lab)
        lab.agent("sync")
        found = {
            kind: any(is_signature(kind, str(path.relative_to(top))) for path in top.rglob("*"))
            for kind in REPOS
            if (top := lab.www / f"{kind}-dev")
        }
    assert found == {kind: has_key and kind != "pypi" for kind in REPOS}


def test_nothing_signed_is_published_unsigned_until_the_operator_says_so(lab: Stage) -> None:
    lab.agent("sync")
    lose(lab)
    before = lab.tree()
    for arguments in (("sync", "--dry-run"), ("sync",), ("sync",)):
        told = lab.agent(*arguments, expect=6).stderr
        assert "names no gpg_sign_key for apt-dev, published with signatures until now" in told
        assert "`gpg_sign_key: none`" in told
        assert lab.tree() == before
    lose(lab, "none")
    lab.agent("sync")
    assert not list(lab.www.rglob("InRelease"))
    # What is unsigned may lose its state database, also without that line.
    lose(lab)
    lab.agent("sync")


def test_a_running_agent_waits_for_the_operator_and_check_is_critical(lab: Stage) -> None:
    lab.agent("sync")
    lose(lab)
    before = lab.tree()
    with daemon(lab) as agent:
        agent.until_logged("published with signatures until now")
        told = lab.agent("check", expect=2).stdout
        assert "the agent can't work: " in told
        assert "published with signatures until now" in told
        assert "the packrat server" not in told
        assert agent.stop() == 0
    assert lab.tree() == before
