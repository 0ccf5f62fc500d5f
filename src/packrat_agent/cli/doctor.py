"""`packrat-agent doctor`: looks at everything that can be wrong with a mirror, and says what to do."""

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from packrat_agent.cli.config_option import config_option
from packrat_core.cli.quick_import import quick_import
from packrat_core.cli.tell_next import tell_next
from packrat_core.text import count_of, printable

if TYPE_CHECKING:
    from packrat_agent.setup.doctor.findings import Finding


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
@config_option
@click.pass_context
def doctor_command(ctx: click.Context, as_json: bool) -> None:
    """Check everything that can be wrong, and say what to do. Run it as root; it changes nothing.

    It looks at the configuration, the directories and keys as the agent's user sees them, the packrat server, the
    clock, the disk, the service, and whether public_url serves the tree. Exit codes: 0, also with warnings; 1 if
    something is wrong.
    """
    with quick_import():
        from packrat_agent.setup.doctor.examine import examine
        from packrat_agent.setup.doctor.findings import Level

    found = []
    for finding in examine(ctx.obj.absolute()):
        found.append(finding)
        if not as_json:
            _show(finding)
    counts = Counter(finding.level for finding in found)
    faults, warnings = counts[Level.FAULT], counts[Level.WARNING]
    if as_json:
        report = {
            "schema": 1,
            "faults": faults,
            "warnings": warnings,
            "findings": [asdict(finding) for finding in found],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo(f"{count_of(faults, 'fault')}, {count_of(warnings, 'warning')}")
        if faults:
            tell_next("do what the lines that begin with -> say, then run it again")
    ctx.exit(1 if faults else 0)


def _show(finding: "Finding") -> None:
    click.echo(f"{finding.level.value:<8} {finding.topic}: {printable(finding.text)}")
    if finding.hint:
        click.echo(f"      -> {printable(finding.hint)}")
