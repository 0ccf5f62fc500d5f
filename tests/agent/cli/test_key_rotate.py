"""`packrat-agent key rotate`: a step out of order is refused, says which one comes first, and changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from packrat_agent.cli.main import main
from support.keys import gnupg_home, make_key
from support.mirror_conf import write_mirror_conf

SIGNS, OFFERS, FORMER = "gpg_sign_key: {A}\n", "gpg_next_key: {B}\n", "gpg_former_key: {B}\n"


@pytest.fixture(scope="module")
def keys() -> Iterator[dict[str, str]]:
    with gnupg_home() as home:
        made = {name: make_key(home, f"{name}.example.com").fingerprint for name in "ABC"}
        yield {**made, "home": str(home)}


@pytest.mark.parametrize(
    ("lines", "step", "code", "message", "hint"),
    [
        (SIGNS, ("--begin", "{A}"), 6, "{A} is the key that signs already", "packrat-agent key new"),
        (
            SIGNS + OFFERS,
            ("--begin", "{C}"),
            2,
            "offers another key already, {B}",
            "take gpg_next_key out of mirror.conf",
        ),
        (SIGNS + FORMER, ("--begin", "{C}"), 2, "is not over: {B} still signs beside the key", "rotate --finish"),
        (SIGNS, ("--switch",), 2, "offers no other key", "--begin KEY"),
        (SIGNS + OFFERS, ("--switch",), 10, "{B} is not published yet", "do a full sync"),
        (SIGNS, ("--finish",), 2, "has no gpg_former_key", "which step comes next"),
        (SIGNS + FORMER, ("--finish",), 10, "the new key has not signed everything yet", "do a full sync"),
        (
            SIGNS + "gpg_retired_keys: {B}\n",
            ("--forget",),
            10,
            "whether packages need the retired keys",
            "full sync first",
        ),
        (SIGNS + OFFERS, ("--switch", "--finish"), 2, "--switch and --finish are steps of their own", "one at a time"),
    ],
)
def test_a_step_out_of_order(
    tmp_path: Path, keys: dict[str, str], lines: str, step: tuple[str, ...], code: int, message: str, hint: str
) -> None:
    path = write_mirror_conf(tmp_path, mirror=f"gnupg_home: {keys['home']}\n{lines.format_map(keys)}")
    before = path.read_bytes()
    arguments = [word.format_map(keys) for word in step]
    done = CliRunner().invoke(main, ["--config", str(path), "key", "rotate", *arguments])
    assert done.exit_code == code, done.output
    assert message.format_map(keys) in done.stderr
    assert hint in done.stderr
    assert path.read_bytes() == before
