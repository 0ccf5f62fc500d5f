"""A server that changes the tag of a repository does not choose the key that signs it."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from packrat_demo.build_deb import Deb
from support.evil import REPO, ROOT, Evil, Victim, repo_record, victim
from support.keys import Key, gnupg_home, make_key

PROD = f"{ROOT}Attrib/Tag:prod:"
DEV = f"{ROOT}Attrib/Tag:dev:"


@pytest.fixture(scope="module")
def keys() -> Iterator[tuple[Key, Key]]:
    """Two keys in one keyring: the main one and that of prod."""
    with gnupg_home() as home:
        yield make_key(home, "Main <main@example.com>"), make_key(home, "Prod <prod@example.com>")


@pytest.fixture
def lured(keys: tuple[Key, Key], tmp_path: Path) -> Iterator[Victim]:
    """A mirror with a key for prod, which has published apt-dev and apt-prod."""
    main, prod = keys
    with victim(tmp_path) as made:
        made.evil.repos["apt-prod"] = repo_record("apt-prod", "apt-prod") | {"tag": PROD}
        made.extra = (
            f"gpg_sign_key: {main.fingerprint}\ngnupg_home: {main.home}\n[tag prod]\ngpg_sign_key: {prod.fingerprint}\n"
        )
        assert made.sync().code == 0
        yield made


def signer(lured: Victim, directory: str) -> str:
    """Give the fingerprint of the key that signed the repository in a directory."""
    home = next(line.removeprefix("gnupg_home: ") for line in lured.extra.splitlines() if "gnupg_home" in line)
    signed = lured.www / directory / "dists/12/InRelease"
    verify = ["gpg", "--homedir", home, "--status-fd", "1", "--verify", str(signed)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + signed.read_text()
    said = done.stdout
    return next(line for line in said.splitlines() if "VALIDSIG" in line).split()[2]


def agent(lured: Victim, *arguments: str) -> str:
    """Run a command of the agent on the mirror."""
    command = [sys.executable, "-m", "packrat_agent", "--config", str(lured.directory / "mirror.conf"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def without_tag(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "tag"}


def lose(evil: Evil, name: str) -> None:
    evil.repos[name] = without_tag(evil.repos[name])


def give(evil: Evil, name: str, tag: Any) -> None:
    evil.repos[name] = evil.repos[name] | {"tag": tag}


def rename(evil: Evil, name: str, other: str, tag: str) -> None:
    evil.repos[other] = evil.repos.pop(name) | {"name": other, "tag": tag}


CHANGES: Mapping[str, tuple[str, str, Callable[[Evil], None]]] = {
    "prod without a tag": ("apt-prod", "apt-prod", lambda evil: lose(evil, "apt-prod")),
    "prod with something else for a tag": ("apt-prod", "apt-prod", lambda evil: give(evil, "apt-prod", ["prod"])),
    "prod becomes dev": ("apt-prod", "apt-prod", lambda evil: give(evil, "apt-prod", DEV)),
    "dev becomes prod": ("apt-dev", "apt-dev", lambda evil: give(evil, "apt-dev", PROD)),
    "prod renamed becomes dev": ("apt-prod", "apt-live", lambda evil: rename(evil, "apt-prod", "apt-live", DEV)),
    "dev renamed becomes prod": ("apt-dev", "apt-test", lambda evil: rename(evil, "apt-dev", "apt-test", PROD)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_tag_changes_no_key(lured: Victim, keys: tuple[Key, Key], change: str) -> None:
    directory, name, make = CHANGES[change]
    before = signer(lured, directory)
    lured.evil.add("2", Deb("later", "1", "all"))
    make(lured.evil)
    ended = lured.sync()
    assert ended.code == 12
    assert f"{REPO}:{name}:" in ended.said
    assert f"[repo {name}] of mirror.conf" in ended.said
    # What is published stays, and the other repository goes on.
    other = {"apt-dev": "apt-prod", "apt-prod": "apt-dev"}[directory]
    assert f"{other}/pool/later/later_1_all.deb" in lured.pool()
    if name == directory:
        assert signer(lured, directory) == before
        assert f"{directory}/pool/good/good_1_all.deb" in lured.pool()
        assert f"{directory}/pool/later/later_1_all.deb" not in lured.pool()
    for command in ("status", "check"):
        assert "another key would sign it" in (said := agent(lured, command)) or "names no tag" in said
    # The operator confirms a key by mirror.conf.
    _, prod = keys
    lured.extra += f"[repo {name}]\ngpg_sign_key: {prod.fingerprint}\n"
    assert lured.sync().code == 0
    assert signer(lured, directory) == prod.fingerprint
    assert f"{directory}/pool/later/later_1_all.deb" in lured.pool()


def test_a_repository_that_leaves_and_comes_back_keeps_its_key(lured: Victim, keys: tuple[Key, Key]) -> None:
    record = lured.evil.repos.pop("apt-dev")
    assert lured.sync().code == 0
    lured.evil.repos["apt-dev"] = record | {"tag": PROD}
    assert lured.sync().code == 12
    lured.evil.repos["apt-dev"] = record
    assert lured.sync().code == 0
    assert signer(lured, "apt-dev") == keys[0].fingerprint


def test_a_new_repository_without_a_tag_is_not_signed(lured: Victim) -> None:
    lured.evil.repos["apt-new"] = without_tag(repo_record("apt-new", "apt-new"))
    assert lured.sync().code == 12
    assert not (lured.www / "apt-new").exists()


def test_a_tag_that_chooses_no_other_key_may_change(lured: Victim, keys: tuple[Key, Key]) -> None:
    give(lured.evil, "apt-dev", f"{ROOT}Attrib/Tag:stage:")
    lured.evil.add("2", Deb("later", "1", "all"))
    assert lured.sync().code == 0
    assert signer(lured, "apt-dev") == keys[0].fingerprint
    # The operator's word counts, whatever the tag was.
    lured.extra += f"[tag stage]\ngpg_sign_key: {keys[1].fingerprint}\n"
    assert lured.sync().code == 0
    assert signer(lured, "apt-dev") == keys[1].fingerprint


def test_a_directory_keeps_its_key_after_its_repository_moved_away(lured: Victim, keys: tuple[Key, Key]) -> None:
    _, prod = keys
    evil = lured.evil
    # One step: the repository of prod moves, with its tag. That changes no key.
    evil.repos["apt-prod"] = evil.repos["apt-prod"] | {"filesystem_dir": "elsewhere"}
    assert lured.sync().code == 0
    assert signer(lured, "elsewhere") == prod.fingerprint
    # The next step: another one, or one that is new, takes its place.
    evil.repos["apt-live"] = repo_record("apt-live", "apt-prod") | {"tag": DEV}
    ended = lured.sync()
    assert ended.code == 12
    assert "[repo apt-live] of mirror.conf" in ended.said
    assert not (lured.www / "apt-prod/dists/12/InRelease").exists() or signer(lured, "apt-prod") == prod.fingerprint
    # The name keeps its key, too, wherever its directory is.
    del evil.repos["apt-live"]
    give(evil, "apt-prod", DEV)
    assert lured.sync().code == 12
    assert signer(lured, "elsewhere") == prod.fingerprint
    # What chooses the former key may take the place.
    give(evil, "apt-prod", PROD)
    evil.repos["apt-live"] = repo_record("apt-live", "apt-prod") | {"tag": PROD}
    assert lured.sync().code == 0
    assert signer(lured, "apt-prod") == prod.fingerprint
