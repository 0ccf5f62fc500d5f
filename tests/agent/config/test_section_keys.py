"""[repo NAME] and [tag NAME] in mirror.conf."""

from pathlib import Path

import pytest

from agent.config.conf_file import faults, written
from packrat_agent.config.describe import describe
from packrat_agent.config.load import load
from packrat_agent.config.settings import KeyNames


def with_sections(conf: Path, text: str) -> Path:
    path = written(conf)
    path.write_text(path.read_text() + text)
    return path


def test_each_section_has_its_key(conf: Path) -> None:
    text = (
        "[repo apt-prod]\ngpg_sign_key: AA\n[ tag   prod ] ; for all\ngpg_sign_key = BB\n[repo empty]\ngpg_sign_key:\n"
    )
    config = load(with_sections(conf, text))
    assert config.section_keys == {"repo apt-prod": KeyNames("AA"), "tag prod": KeyNames("BB")}
    assert describe(config).endswith("[repo apt-prod]\ngpg_sign_key: AA\n[tag prod]\ngpg_sign_key: BB\n")
    assert load(written(conf)).section_keys == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[repo]\n", "there is no section [repo]; did you mean repo NAME?"),
        ("[repos apt-prod]\ngpg_sign_key: A\n", "there is no section [repos apt-prod]; did you mean repo NAME?"),
        ("[repo apt-*]\n", "[repo apt-*] needs one name, as it is on the packrat server: [repo NAME]"),
        ("[tag dev prod]\n", "[tag dev prod] needs one name"),
        ("[tag ../x]\ngpg_sign_key: A\n", "[tag ../x] needs one name"),
        ("[tag prod]\ngpg_key: A\n", "[tag prod] has no key 'gpg_key'; did you mean gpg_sign_key?"),
        ("[tag prod]\nroot_dir: /x\n", "[tag prod] has no key 'root_dir'"),
        ("[tag p]\ngpg_sign_key: A\n[tag  p]\ngpg_sign_key: B\n", "gpg_sign_key was already given in line"),
        ("[tag p]\ngpg_sign_key: None\n", "`none` can stand in [mirror] only; take [tag p] out"),
        ("[tag p]\ngpg_sign_key: A\x07\n", "gpg_sign_key: must be one line of printable characters"),
        ("[tag p]\ngpg_next_key: B\n", "gpg_next_key: [tag p] has no gpg_sign_key; name the key that signs, too"),
        (
            "[tag p]\ngpg_sign_key: A\ngpg_next_key: B\ngpg_former_key: C\n",
            "gpg_next_key: [tag p] has a gpg_former_key, so its last rotation is not over; end that one first",
        ),
    ],
)
def test_a_wrong_section_is_reported_with_its_line(conf: Path, text: str, told: str) -> None:
    with_sections(conf, text)
    [fault] = faults(conf)
    assert told in fault
    assert "line " in fault


def test_none_stands_beside_no_key_of_a_rotation(conf: Path) -> None:
    [fault] = faults(written(conf, mirror={"gpg_sign_key": "none", "gpg_next_key": "AA"}))
    assert "gpg_next_key: [mirror] has `gpg_sign_key: none`, so take gpg_next_key out" in fault
