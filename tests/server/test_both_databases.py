"""The same commands say the same on an SQLite file and on PostgreSQL: tables, JSON, refusals, exit codes."""

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from packrat_server.admin.new_server import init
from packrat_server.cli import main as cli
from support.postgres import Cluster

COMMANDS = """
tag-type set qa --requires dev --change-control --reason why
tag-type set QA
tag-type set dev --requires qa
tag-type list
distro set precise --type deb
distro list
repo set zebra --type apt --tag dev --distro bookworm
repo set _under --type apt --tag qa --distro bookworm
repo set Apt --type apt --tag dev --distro trixie --distro bookworm --description 'Ünïcode — "quoted"'
repo set apt --type apt --tag dev --distro bookworm --directory debian/dev
repo set apt --all-versions
repo list
mirror set lab --repo apt --repo Apt
mirror list --json
mirror show lab
user set ci --role uploader --right tag_qa --right tag_dev
user set x --right nonesuch
user list
diff dev nonesuch
diff apt zebra --distro nonesuch
find '*' --tag nonesuch
tag-type remove qa
distro remove bookworm
repo remove _under
mirror remove lab --yes
export-events
"""


def said(data: Path, command: str) -> str:
    """Run a command; gives its exit code and what it said, without what is another each time."""
    done = CliRunner().invoke(cli.main, [*shlex.split(command), "--data", str(data)], env={"PACKRAT_URL": ""})
    said_of = f"{done.exit_code}\n{done.stdout}{done.stderr}".replace(str(data), "DATA")
    text = re.sub(r"20\d\d-\d\d-\d\d[T ][0-9:.]+", "WHEN", said_of)
    text = re.sub(r"the (psk|password) [0-9A-Za-z]+", r"the \1", text)
    # A transaction that is undone takes a number of PostgreSQL's, and none of SQLite's.
    return re.sub(r'^\{"id": \d+', '{"id": N', text, flags=re.MULTILINE)


def test_both_databases_give_the_same_answers(tmp_path: Path, postgresql: Cluster) -> None:
    sqlite, postgres = tmp_path / "sqlite", tmp_path / "postgresql"
    init(sqlite, None)
    init(postgres, postgresql.new_database())
    codes = set()
    for command in COMMANDS.strip().splitlines():
        told = said(sqlite, command)
        assert told == said(postgres, command), command
        codes.add(told.partition("\n")[0])
    assert codes == {"0", "2", "10"}
