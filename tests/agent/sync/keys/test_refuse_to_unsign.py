"""What clients know signed is not published unsigned, and what never was signed is no matter."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.config.settings import Config, KeyNames
from packrat_agent.model.entries import StoredFile
from packrat_agent.model.records import Repo
from packrat_agent.state.facts import KeyInUse
from packrat_agent.state.store import Store
from packrat_agent.sync.keys.refuse_to_unsign import refuse_to_unsign
from packrat_core.errors import SigningError
from support.mirror_conf import write_mirror_conf

KEY = "AA" * 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A state database without repositories."""
    return Store(tmp_path / "state.db")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A mirror.conf without a key."""
    return load(write_mirror_conf(tmp_path))


def publish(store: Store, kind: str = "apt", *, tag: str = "") -> None:
    store.repos.save([Repo("one", "", "one", kind, (), tag=tag)])
    file = StoredFile("one/index", "0" * 64, 1, 1, 1)
    store.live.adopt("one", [(file, file.sha256)], time.time())


@pytest.mark.parametrize("kind", ["apt", "yum", "json"])
def test_the_loss_of_the_key_is_refused(store: Store, config: Config, kind: str) -> None:
    store.facts.write(KeyInUse(KEY))
    refuse_to_unsign(config, store)
    publish(store, kind)
    with pytest.raises(SigningError, match="names no gpg_sign_key for one"):
        refuse_to_unsign(config, store)
    for given in (KEY, ""):
        refuse_to_unsign(replace(config, mirror=replace(config.mirror, gpg_sign_key=given)), store)


@pytest.mark.parametrize("section", ["repo one", "tag prod"])
def test_the_loss_of_a_key_of_its_own_is_refused(store: Store, config: Config, section: str) -> None:
    store.facts.write(KeyInUse(None))
    publish(store, tag="prod")
    refuse_to_unsign(config, store)
    store.facts.write_section_keys({section: KeyInUse(KEY)})
    with pytest.raises(SigningError, match="names no gpg_sign_key for one"):
        refuse_to_unsign(config, store)
    refuse_to_unsign(replace(config, section_keys={section: KeyNames(KEY)}), store)


def test_types_without_signatures_lose_none(store: Store, config: Config) -> None:
    store.facts.write(KeyInUse(KEY))
    for kind in ("pypi", "docker", "of another version"):
        publish(store, kind)
        refuse_to_unsign(config, store)
    publish(store, "docker")
    with pytest.raises(SigningError):
        refuse_to_unsign(replace(config, mirror=replace(config.mirror, public_url="https://repo.example.com")), store)
