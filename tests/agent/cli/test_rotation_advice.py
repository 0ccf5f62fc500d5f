"""rotation_advice: who follows it replaces the key of that section, and gives the clients that key."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from packrat_agent import DEFAULT_CONFIG
from packrat_agent.cli.main import main
from packrat_agent.cli.rotation_advice import Advice
from packrat_agent.config.rotation_phase import Phase
from support.mirror_conf import write_mirror_conf

KEY = "A" * 40


def all_texts(advice: Advice) -> str:
    return "\n".join([advice.how_to_begin(), *map(advice.what_next, Phase), advice.ended(), advice.without_overlap()])


def test_advice_on_the_main_key_names_its_files() -> None:
    told = all_texts(Advice("mirror", DEFAULT_CONFIG))
    assert "-o /etc/apt/keyrings/packrat-mirror.gpg URL/repo-key.gpg\n" in told
    assert "rpm --import URL/repo-key;" in told
    assert "  2. packrat-agent key rotate --begin KEY\n" in told
    assert "repo-keys" not in told
    assert "{" not in told


@pytest.mark.parametrize(("section", "name"), [("repo apt-prod", "apt-prod"), ("tag prod", "NAME")])
def test_advice_on_a_sections_key_names_the_files_and_commands_of_that_section(section: str, name: str) -> None:
    told = all_texts(Advice(section, Path("/srv/m y.conf")))
    assert f"-o /etc/apt/keyrings/packrat-repo-{name}.gpg URL/repo-keys/{name}.gpg\n" in told
    assert f"rpm --import URL/repo-keys/{name}.asc" in told
    assert not re.search(r"repo-key\b", told)
    assert ("NAME is each repository" in told) is (name == "NAME")
    steps = re.findall(r"packrat-agent .*? key rotate .*(--[a-z]+)", told)
    assert {"--begin", "--switch", "--finish", "--forget"} == set(steps)
    for line in re.findall("packrat-agent .* rotate .*", told):
        words = shlex.split(line)
        assert words[1:3] == ["--config", "/srv/m y.conf"]
        assert words[words.index("--section") + 1] == section


def test_the_command_and_its_messages_keep_to_their_section(tmp_path: Path) -> None:
    path = write_mirror_conf(tmp_path, "http://127.0.0.1:1", mirror=f"[tag prod]\ngpg_sign_key: {KEY}\n")
    begin = f"packrat-agent --config {path} key rotate --section 'tag prod' --begin KEY"
    told = CliRunner().invoke(main, ["--config", str(path), "key", "rotate", "--section", "tag prod"])
    assert (told.exit_code, begin in told.output) == (0, True), told.output
    told = CliRunner().invoke(main, ["--config", str(path), "key", "rotate", "--section", "tag prod", "--switch"])
    assert (told.exit_code, begin in told.output) == (2, True), told.output
