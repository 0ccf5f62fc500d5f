"""Whose mirror it is: nobody but root has root work as root, whatever lies in the agent's directories."""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.setup.owner import find_owner
from packrat_core.errors import ConfigError
from support.mirror_conf import write_mirror_conf

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")

_OWN, _THIRD = 65534, 4242
_Change = Callable[[Path], None]


@pytest.fixture
def config() -> Iterator[Config]:
    """A mirror of one user: its keyring, its state and its tree, in a directory of root's."""
    with tempfile.TemporaryDirectory(prefix="owner-", dir="/tmp") as directory:
        top = Path(directory)
        write_mirror_conf(top, "http://127.0.0.1:1", packrat="psk: x\n", mirror="description: the lab\n")
        loaded = load(top / "mirror.conf")
        mirror = replace(
            loaded.mirror, root_dir=top / "www", state_db=top / "state/state.db", gnupg_home=top / "state/gnupg"
        )
        for path in (top / "www", top / "state", top / "state/gnupg"):
            path.mkdir(exist_ok=True)
        (top / "state/state.db").touch()
        _give(top / "www", _OWN)
        _give(top / "state", _OWN)
        yield replace(loaded, mirror=mirror)


def _give(path: Path, uid: int) -> None:
    for each in (path, *path.rglob("*")):
        os.chown(each, uid, uid, follow_symlinks=False)


def _link(path: Path, target: str) -> None:
    path.rename(path.with_name(f"old-{path.name}"))
    path.symlink_to(target)
    os.chown(path, _OWN, _OWN, follow_symlinks=False)


def _empty_keyring_of_root(state: Path) -> None:
    (state / "gnupg").rename(state / "old")
    (state / "gnupg").mkdir()


def _link_both(state: Path) -> None:
    _link(state / "gnupg", "/var")
    _link(state / "state.db", "/etc/hostname")


_TRICKS: dict[str, _Change] = {
    "nothing": lambda state: None,
    "a keyring that leads to root's": lambda state: _link(state / "gnupg", "/var"),
    "a state database that leads to root's": lambda state: _link(state / "state.db", "/etc/hostname"),
    "both lead to root's": _link_both,
    "root's own directory in the place of the keyring": _empty_keyring_of_root,
}


@pytest.mark.parametrize("trick", _TRICKS)
def test_root_works_as_the_agents_user_whatever_that_user_puts_there(config: Config, trick: str) -> None:
    _TRICKS[trick](config.mirror.state_db.parent)
    owner = find_owner(config)
    assert owner is not None
    assert owner.uid == _OWN


def test_a_user_without_a_name_is_not_root(config: Config) -> None:
    _give(config.mirror.state_db.parent, _THIRD)
    owner = find_owner(config)
    assert owner is not None
    assert owner.uid == _THIRD
    assert owner.do(lambda: (os.geteuid(), os.getgroups())) == (_THIRD, [owner.gid])


def test_a_mirror_of_two_users_is_refused(config: Config) -> None:
    os.chown(config.mirror.state_db, _THIRD, _THIRD)
    with pytest.raises(ConfigError, match=f"belongs to user nobody, and .* to user {_THIRD}: it is not clear"):
        find_owner(config)


def test_a_link_to_the_keyring_of_another_user_is_refused(config: Config) -> None:
    elsewhere = config.mirror.root_dir.parent / "elsewhere"
    elsewhere.mkdir()
    _give(elsewhere, _THIRD)
    _link(config.mirror.state_db.parent / "gnupg", str(elsewhere))
    with pytest.raises(ConfigError, match="it is not clear whose mirror"):
        find_owner(config)


def _all_of_root(config: Config) -> Path:
    top = config.mirror.root_dir.parent
    _give(top, 0)
    return top


def test_root_works_as_root_where_all_is_roots(config: Config) -> None:
    top = _all_of_root(config)
    # A link that root made is as good as a directory.
    (top / "state").rename(top / "real")
    (top / "state").symlink_to("real")
    owner = find_owner(config)
    assert owner is not None
    assert owner.uid == 0


def _open_to_a_group(top: Path) -> None:
    os.chown(top, 0, _OWN)
    top.chmod(0o770)


def _link_to_roots(top: Path) -> None:
    """Have the state lie behind a link of root's that leads through a directory of another."""
    (top / "theirs").mkdir()
    (top / "state").rename(top / "theirs/state")
    (top / "state").symlink_to("theirs/state")
    os.chown(top / "theirs", _OWN, _OWN)


_OPEN: dict[str, tuple[_Change, str]] = {
    "a directory above belongs to another": (lambda top: os.chown(top, _OWN, 0), "belongs to user nobody, and"),
    "others may write above": (lambda top: top.chmod(0o777), "others may write to"),
    "a group may write above": (_open_to_a_group, "others may write to"),
    "others may write to the keyring": (lambda top: (top / "state/gnupg").chmod(0o777), "others may write to"),
    "a link of root's leads through another's": (_link_to_roots, "belongs to user nobody, and"),
}


@pytest.mark.parametrize("case", _OPEN)
def test_root_does_not_work_as_root_where_another_could_swap_its_files(config: Config, case: str) -> None:
    change, text = _OPEN[case]
    change(_all_of_root(config))
    with pytest.raises(ConfigError, match=text):
        find_owner(config)


def test_no_owner_is_found_before_anything_is_there(config: Config) -> None:
    top = config.mirror.root_dir.parent
    (top / "state").rename(top / "a")
    (top / "www").rename(top / "b")
    assert find_owner(config) is None
