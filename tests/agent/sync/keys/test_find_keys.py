"""The keys of mirror.conf are found in the keyring, and each has one task."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.sync.keys.find_keys import find_keys
from packrat_core.errors import SigningError
from support.keys import Key, new_key
from support.mirror_conf import write_mirror_conf


@pytest.fixture(scope="module")
def key() -> Iterator[Key]:
    with new_key("repo.example.com") as made:
        yield made


@pytest.mark.parametrize("setting", ["gpg_next_key", "gpg_former_key", "gpg_retired_keys"])
@pytest.mark.parametrize("section", ["", "[tag prod]"])
def test_the_key_that_signs_has_no_other_part_in_a_rotation(
    tmp_path: Path, key: Key, setting: str, section: str
) -> None:
    # Two spellings of one key.
    names = f"gpg_sign_key: {key.fingerprint}\n{setting}: {key.fingerprint[-16:]}\n"
    own = f"gpg_sign_key: {key.fingerprint}\n{section}\n{names}" if section else names
    config = load(write_mirror_conf(tmp_path, mirror=f"gnupg_home: {key.home}\n{own}"))
    with pytest.raises(SigningError, match="which is the key that gpg_sign_key names") as refusal:
        find_keys(config)
    assert refusal.value.message.startswith(f"{section}: {setting} " if section else f"{setting} ")
    assert "packrat-agent key rotate" in refusal.value.hint
