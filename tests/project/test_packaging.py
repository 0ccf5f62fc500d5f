"""What we hand out to operators says what the program does."""

import ast
import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import click
import pytest
from click.testing import CliRunner

from packrat_agent.cli import main as cli
from packrat_agent.config.describe import describe
from packrat_agent.config.fields import FIELDS
from packrat_agent.config.load import load
from packrat_agent.status.values import Status
from packrat_core import errors
from packrat_core.aio.connection_bounds import OTHER_DESCRIPTORS
from packrat_core.cli.command_group import CommandInModule
from packrat_core.cli.standard_streams import UNREAD
from packrat_core.errors import ConfigError, PackratError
from packrat_server.cli import main as server_cli
from packrat_server.serving.connections import CONNECTIONS_LIMIT

_TOP = Path(__file__).parents[2]
_SAMPLE = _TOP / "packaging/mirror.conf"
_DOC = (_TOP / "docs/configuration.md").read_text()
_OPERATIONS = (_TOP / "docs/operations.md").read_text()
_OF_A_ROTATION = ("gpg_next_key", "gpg_former_key", "gpg_retired_keys")
_KEYS = {(row.section, row.key) for row in FIELDS}
_SMALLEST = (
    "[packrat]\nhost: packrat.example.com\nname: prod\n[mirror]\nroot_dir: /var/www/repo\nstate_db: /x/state.db\n"
)


def _documented() -> dict[tuple[str, str], str]:
    """(section, key) → what the documentation says of it."""
    found: dict[tuple[str, str], str] = {}
    for section in re.finditer(r"^## \[([\w ]+)\]\n(.*?)(?=^## )", _DOC, re.MULTILINE | re.DOTALL):
        parts = re.split(r"^### (\w+)\n", section[2], flags=re.MULTILINE)
        found |= {(section[1], key): text for key, text in zip(parts[1::2], parts[2::2], strict=True)}
    return found


def _kind(section: str) -> str:
    word, separator, _ = section.partition(" ")
    return f"{word} NAME" if separator else section


def _sampled() -> dict[tuple[str, str], list[str]]:
    """(section, key) → its values in the sample, whether in force or commented."""
    found: dict[tuple[str, str], list[str]] = {}
    section = ""
    for line in _SAMPLE.read_text().splitlines():
        if line.startswith("["):
            section = _kind(line.strip("[]"))
        elif match := re.fullmatch(r"#?(\w+): (.+)", line):
            found.setdefault((section, match[1]), []).append(match[2])
    return found


def _in_force(path: Path) -> dict[tuple[str, str], str]:
    read = configparser.RawConfigParser(delimiters=":", comment_prefixes="#")
    read.read_string(describe(load(path)))
    return {(_kind(section), key): value for section in read.sections() for key, value in read.items(section)}


def _defaults(tmp_path: Path) -> dict[tuple[str, str], str]:
    path = tmp_path / "mirror.conf"
    path.write_text(_SMALLEST)
    return _in_force(path)


def test_each_key_is_documented_and_no_other() -> None:
    assert set(_documented()) == _KEYS, "docs/configuration.md and config/fields.py have different keys"


def test_each_key_is_in_the_sample_and_no_other() -> None:
    assert set(_sampled()) == _KEYS, "packaging/mirror.conf and config/fields.py have different keys"


def test_documented_defaults_are_the_real_ones(tmp_path: Path) -> None:
    real = _defaults(tmp_path)
    required = {(row.section, row.key) for row in FIELDS if row.required}
    for name, text in _documented().items():
        literal = re.findall(r"^- Default: `([^`]*)`$", text, re.MULTILINE)
        if name in required:
            assert "\n- Required.\n" in text, name
            assert "- Default:" not in text, name
        elif name == ("mirror", "description"):
            assert "- Default: none; the value of `name` is used.\n" in text
            assert real[name] == real["packrat", "name"]
        elif real.get(name, ""):
            assert literal == [real[name]], name
        else:
            assert literal == [], name
            assert re.search(r"^- Default: none[.;]", text, re.MULTILINE), name


def test_documented_examples_are_accepted(tmp_path: Path) -> None:
    for (section, key), text in _documented().items():
        (example,) = re.findall(r"^- Example: `([^`]*)`$", text, re.MULTILINE)
        assert example.startswith(f"{key}: ")
        kept = "".join(line for line in _SMALLEST.splitlines(keepends=True) if not line.startswith(f"{key}:"))
        path = tmp_path / f"{key}.conf"
        if key in _OF_A_ROTATION:
            example = f"gpg_sign_key: 8BFE3D3D\n{example}"
        path.write_text(kept.replace(f"[{section}]", f"[{section}]\n{example}"))
        if section.endswith(" NAME"):
            path.write_text(f"{_SMALLEST}[{section}]\n{example}\n")
        load(path)


def test_documented_limits_are_the_real_ones(tmp_path: Path) -> None:
    limited = 0
    for (section, key), text in _documented().items():
        if limits := re.search(r"\bFrom (\d+) to (\d+)\b", text.replace("\n", " ")):
            limited += 1
            low, high = int(limits[1]), int(limits[2])
            for value, fits in ((low, True), (high, True), (low - 1, False), (high + 1, False)):
                path = tmp_path / "limit.conf"
                path.write_text(_SMALLEST.replace(f"[{section}]", f"[{section}]\n{key}: {value}"))
                if fits:
                    load(path)
                else:
                    with pytest.raises(ConfigError, match=key):
                        load(path)
    assert limited == sum("integer_between" in row.read.__qualname__ for row in FIELDS)


@pytest.mark.parametrize("number", range(2))
def test_the_documented_ini_blocks_are_accepted(tmp_path: Path, number: int) -> None:
    block = re.findall(r"```ini\n(.*?)```", _DOC, re.DOTALL)[number]
    path = tmp_path / "mirror.conf"
    path.write_text(block if block.startswith("[packrat]") else _SMALLEST + block)
    load(path)


def test_the_sample_is_accepted() -> None:
    shown = CliRunner().invoke(cli.main, ["--config", str(_SAMPLE), "config"])
    assert shown.exit_code == 0
    assert "root_dir: /var/www/repo" in shown.output
    assert "prod_psk" not in shown.output


def test_the_sample_is_accepted_with_everything_in_force(tmp_path: Path) -> None:
    path = tmp_path / "mirror.conf"
    # A former key and a next one are of two rotations, of which the first is to be ended.
    sample = re.sub(r"^#gpg_former_key: .*\n", "", _SAMPLE.read_text(), flags=re.MULTILINE)
    path.write_text(re.sub(r"^#(\w+: )", r"\1", sample, flags=re.MULTILINE))
    real = _in_force(path)
    left_out = {("mirror", "keep_file"), *(name for name in _KEYS if name[1] == "gpg_former_key")}
    empty = [name for name in _KEYS - left_out if not real[name]]
    assert empty == []
    assert real["mirror", "keep_file_list"].count("/var/www/repo/") == 3


def test_the_sample_shows_the_defaults(tmp_path: Path) -> None:
    real = _defaults(tmp_path)
    numbers = {row.key for row in FIELDS if "integer_between" in row.read.__qualname__} | {"apt_origin"}
    for (section, key), values in _sampled().items():
        if key in numbers and real[section, key]:
            assert values == [real[section, key]], key


def test_all_exit_codes_are_documented() -> None:
    table = {int(code): text for code, text in re.findall(r"^\| (\d+) \| ([^|]+) \|", _DOC, re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PackratError)]
    # 11 says what became of one file, and never ends a command.
    assert set(table) == ({kind.exit_code for kind in kinds} | {0, UNREAD}) - {errors.Refused.exit_code}


def test_the_documented_commands_exist() -> None:
    named = set(re.findall(r"^\| `packrat-agent (\w+)", _DOC, re.MULTILINE))
    assert named == set(cli.main.commands)


@pytest.mark.parametrize(("unit", "command"), [("packrat-agent", cli.main), ("packrat-server", server_cli.main)])
def test_the_units_start_commands_that_exist(unit: str, command: click.Group) -> None:
    text = (_TOP / f"packaging/{unit}.service").read_text()
    (start,) = re.findall(r"^ExecStart=/\S+/(\S+) (.*)$", text, re.MULTILINE)
    assert start[0] == unit
    words = start[1].split()
    # `--help` last: the options before it are parsed, nothing is started.
    assert CliRunner().invoke(command, [*words, "--help"]).exit_code == 0
    assert CliRunner().invoke(command, [*words, "--no-such-option"]).exit_code == 2


def test_the_unit_does_not_restart_what_only_a_person_can_mend() -> None:
    text = (_TOP / "packaging/packrat-agent.service").read_text()
    (codes,) = re.findall(r"^RestartPreventExitStatus=(.*)$", text, re.MULTILINE)
    assert {int(code) for code in codes.split()} == {
        errors.ConfigError.exit_code,
        errors.SigningError.exit_code,
        errors.NotOurs.exit_code,
    }


@pytest.mark.parametrize("unit", ["packrat-agent", "packrat-server"])
def test_systemd_accepts_the_units(unit: str, tmp_path: Path) -> None:
    text = (_TOP / f"packaging/{unit}.service").read_text()
    there = tmp_path / f"{unit}.service"
    there.write_text(text.replace(f"/opt/packrat-agent/bin/{unit}", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", there], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if unit in line] == []
    assert done.returncode == 0
    # An exposure of 1.5 of 10; what is left is what the program is for: files, the network, gpg-agent's sockets.
    held = ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(there)]
    done = subprocess.run(held, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.parametrize("unit", ["packrat-agent", "packrat-server"])
def test_the_units_bound_what_a_fault_may_take(unit: str) -> None:
    settings = dict(re.findall(r"^(\w+)=(.*)$", (_TOP / f"packaging/{unit}.service").read_text(), re.MULTILINE))
    assert settings["LimitCORE"] == "0"
    assert settings["MemoryMax"] in ("1G", "4G")
    assert int(settings["TasksMax"]) >= 256
    # As many as the server uses.
    assert int(settings["LimitNOFILE"]) >= 2 * CONNECTIONS_LIMIT + OTHER_DESCRIPTORS


def test_the_unit_tells_systemd_what_the_program_says() -> None:
    settings = dict(re.findall(r"^(\w+)=(.*)$", (_TOP / "packaging/packrat-agent.service").read_text(), re.MULTILINE))
    assert settings["Type"] == "notify"
    assert int(settings["WatchdogSec"]) >= 60


def test_a_reload_needs_no_program_that_a_small_debian_lacks() -> None:
    """/bin/kill is part of procps, which nothing that the package depends on brings."""
    text = (_TOP / "packaging/packrat-agent.service").read_text()
    (command,) = re.findall(r"^ExecReload=(.*)$", text, re.MULTILINE)
    program, *arguments = shlex.split(command)
    assert program == "/bin/sh"
    with subprocess.Popen(["sleep", "60"]) as process:
        environment = {"MAINPID": str(process.pid)}
        subprocess.run([program, *arguments], env=environment, check=True)
        assert process.wait(30) == -signal.SIGHUP


def test_the_unit_lets_the_agent_write_to_its_two_places_only() -> None:
    text = (_TOP / "packaging/packrat-agent.service").read_text()
    mirror = load(_SAMPLE).mirror
    assert re.findall(r"^ProtectSystem=(.*)$", text, re.MULTILINE) == ["strict"]
    assert re.findall(r"^ReadWritePaths=(.*)$", text, re.MULTILINE) == [str(mirror.root_dir)]
    assert re.findall(r"^StateDirectory=(.*)$", text, re.MULTILINE) == [mirror.state_db.parent.name]
    assert mirror.state_db.parent.parent == Path("/var/lib")


def _logged(*packages: str) -> set[tuple[str, str]]:
    """(word, level) of each event that packages log; of a word that is put together, the fixed part."""
    found = set()
    for path in sorted(path for package in packages for path in (_TOP / "src" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[said, *_]):
                    assert level in ("debug", "info", "warning", "error", "exception"), path
                    fixed = [part.value for part in ast.walk(said) if isinstance(part, ast.Constant)]
                    found.add((" ".join(str(part).strip(" :") for part in fixed), level))
    return found


_LOG_WORDS = _OPERATIONS.partition("## Log words")[2].partition("\n## ")[0]


def _documented_words() -> set[tuple[str, str]]:
    table = _LOG_WORDS
    rows = re.findall(r"^\| (`[^|]+) \| (\w+) \|", table, re.MULTILINE)
    words = {(word, level) for cell, level in rows for word in re.findall(r"`([^`]+)`", cell)}
    assert ("apt: Signing distro NAME", "info") in words
    words.remove(("apt: Signing distro NAME", "info"))
    return {*((word, level) for word, level in words if not word.endswith("=")), ("Signing distro", "info")}


def test_the_log_words_are_documented_and_no_other() -> None:
    # What the core logs, the agent logs.
    logged = _logged("packrat_agent", "packrat_core")
    assert {("published", "info"), ("waiting", "error"), ("key", "warning")} <= logged
    assert _documented_words() == logged, "docs/operations.md and the code have different log words"


def test_the_log_words_of_the_server_are_documented_and_no_other() -> None:
    table = _LOG_WORDS.partition("| word of `packrat-server` |")[2]
    documented = {
        word for cell in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for word in re.findall(r"`([^`]+)`", cell)
    }
    own = {word for word, _ in _logged("packrat_server")}
    of_core = {word for word, _ in _logged("packrat_core")}
    assert own <= documented <= own | of_core, (
        "docs/operations.md and the code have different log words of packrat-server"
    )


def test_each_exit_code_has_its_section() -> None:
    named = {
        int(code)
        for line in re.findall(r"^### ([\d and]+):", _OPERATIONS, re.MULTILINE)
        for code in line.split(" and ")
    }
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PackratError)]
    assert named == {kind.exit_code for kind in kinds} - {errors.Refused.exit_code}


def _fields(of: object, above: str = "") -> Iterator[str]:
    """The dotted names of all fields of a dataclass or a named tuple, `[]` where there are several."""
    hints = get_type_hints(of)
    for name in _field_names(of):
        inner = [part for part in _parts(hints[name]) if _field_names(part)]
        many = "[]" if getattr(hints[name], "__origin__", None) is tuple else ""
        yield f"{above}{name}{many}"
        for part in inner:
            yield from _fields(part, f"{above}{name}{many}.")


def _field_names(of: object) -> tuple[str, ...]:
    named: tuple[str, ...] = getattr(of, "_fields", ())
    return tuple(field.name for field in fields(of)) if is_dataclass(of) else named


def _parts(hint: object) -> tuple[object, ...]:
    return getattr(hint, "__args__", ()) or (hint,)


def test_the_fields_of_the_json_status_are_documented_and_no_other() -> None:
    section = _OPERATIONS.partition("### The fields")[2].partition("\n## ")[0]
    documented = [
        name
        for cell in re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", cell)
    ]
    assert len(documented) == len(set(documented))
    assert set(documented) == {"schema", *_fields(Status)}


def test_the_limits_of_check_are_documented() -> None:
    section = _OPERATIONS.partition("### check")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(--[\w-]+)` \| ([^|]*) \|", section, re.MULTILINE))
    command = cli.main.commands["check"]
    assert isinstance(command, CommandInModule)
    options = {option.opts[0]: option.default for option in command.load().params if "--config" not in option.opts}
    assert set(rows) == set(options)
    for name, default in options.items():
        if isinstance(default, str):
            assert rows[name] == f"`{default}`", name


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["configuration", "operations", "signing", "web-servers"])
def test_links_between_the_documents_lead_somewhere(name: str) -> None:
    path = _TOP / f"docs/{name}.md"
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.is_file(), link
        assert not anchor or anchor in _anchors(target), link


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("systemd-tmpfiles"), reason="only root gives files away")
def test_the_state_directory_keeps_the_owner_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("packrat:x:990:990::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text("packrat:x:990:\n")
    state = tmp_path / "var/lib/packratAgent"
    file = Path(__file__).parents[2] / "packaging/deb/packrat-agent/tmpfiles"
    for owner in (990, 991):
        # As at each boot.
        subprocess.run(["systemd-tmpfiles", f"--root={tmp_path}", "--create", file], check=True)
        assert {path.stat().st_uid for path in (state, state / "gnupg")} == {owner}
        os.chown(state, 991, 991)
        os.chown(state / "gnupg", 991, 991)
