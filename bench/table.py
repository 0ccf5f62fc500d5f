"""Writes down what was measured: tables for people, one JSON file for comparing, plots."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

from bench.arrival import Arrival, percentile
from bench.contender import WORKS, Row
from bench.meter import Measured
from bench.plot import draw

RESULTS = Path(__file__).parent / "results"

_HEADS = ("work", "", "wall", "CPU", "gpg-agent", "server", "memory", "written", "pulled", "ours : it")


def write_tables(rows: Sequence[Row]) -> str:
    """A table a type and size: each work of each contender, and the CPU of ours to that of the contender."""
    groups = dict.fromkeys((row.kind, row.packages, row.bytes) for row in rows)
    return "\n\n".join(
        _write_group([row for row in rows if (row.kind, row.packages, row.bytes) == group]) for group in groups
    )


def _write_group(rows: Sequence[Row]) -> str:
    first = rows[0]
    lines = [list(_HEADS)]
    for work in WORKS:
        ours = _reference(rows, work)
        for row in rows:
            if (measured := row.cells[work]) is not None:
                lines.append([work, row.name, *_cells(measured, row, work), _ratio(ours, measured)])
    title = (
        f"{first.kind}, {first.packages:,} packages of {write_bytes(first.bytes / max(1, first.packages))} on average"
    )
    return f"{title}\n\n{write_lines(lines)}"


def _reference(rows: Sequence[Row], work: str) -> Measured | None:
    """Of ours, what is held against the others: the build from files on disk, and what is measured from the tag on."""
    ours = [row for row in rows if row.name.startswith("packrat-agent") and row.cells[work]]
    if work == WORKS[0]:
        ours.sort(key=lambda row: row.cells[WORKS[1]] is not None)
    return ours[0].cells[work] if ours else None


def _cells(measured: Measured, row: Row, work: str) -> list[str]:
    beside = measured.daemons_s
    return [
        write_seconds(measured.seconds),
        write_seconds(measured.cpu_s),
        write_seconds(beside["gpg-agent"]) if beside.get("gpg-agent") else "",
        write_seconds(beside["server"]) if beside.get("server") else "",
        write_bytes(measured.peak_kib * 1024),
        write_bytes(measured.written_bytes),
        write_bytes(row.pulled_bytes) if work == WORKS[1] and row.pulled_bytes is not None else "",
    ]


def _ratio(ours: Measured | None, measured: Measured) -> str:
    """The processor time of ours, with the server's, to that of the other."""
    if ours is None or ours is measured or measured.all_cpu_s <= 0:
        return ""
    return f"{ours.all_cpu_s / measured.all_cpu_s:.2f}"


def write_lines(lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first line has the heads, the first two columns are names."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    text = [_line(lines[0], widths), _line(["-" * width for width in widths], widths)]
    return "\n".join([*text, *(_line(line, widths) for line in lines[1:])])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    aligned = [cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(pairs)]
    return f"| {' | '.join(aligned)} |"


def write_steps(steps: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """What the steps of the floor cost, a line a work."""
    lines = (
        f"{work}: {', '.join(f'{name} {write_seconds(mean(values))}' for name, values in parts.items())}"
        for work, parts in steps.items()
    )
    return "\n".join(lines)


def write_arrival(arrival: Arrival) -> str:
    """p50 and p99 from the tag on."""
    told = []
    for name, values in (("InRelease", arrival.to_index_s), ("apt-get install", arrival.to_install_s)):
        halfway, most = percentile(values, 0.5), percentile(values, 0.99)
        told.append(f"tag → {name}: p50 {write_seconds(halfway)}, p99 {write_seconds(most)} of {len(values)}")
    return f"apt, {arrival.packages:,} packages, {'; '.join(told)}"


def write_seconds(seconds: float) -> str:
    """Two or three figures."""
    if seconds < 0.001:
        return f"{seconds * 1_000_000:.0f} µs" if seconds > 0 else "0"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.{2 if seconds < 10 else 1}f} s"


def write_bytes(size: float) -> str:
    """Two or three figures."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.{0 if unit == 'B' or size >= 10 else 1}f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def save(
    rows: Sequence[Row], arrivals: Sequence[Arrival], machine: Mapping[str, str], directory: Path = RESULTS
) -> Path:
    """Keep everything, single rounds too, under the present time."""
    now = datetime.now(UTC)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{now:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine,
        "rows": [asdict(row) for row in rows],
        "arrivals": [asdict(arrival) for arrival in arrivals],
    }
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return path


def draw_plots(rows: Sequence[Row], directory: Path) -> list[Path]:
    """Draw the processor time of one more package against the size, a picture for each type with two sizes."""
    drawn = []
    for kind in dict.fromkeys(row.kind for row in rows):
        lines: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            measured = row.cells[WORKS[1]]
            if row.kind == kind and measured is not None:
                lines.setdefault(row.name, []).append((row.packages, measured.all_cpu_s))
        if any(len({x for x, _ in line}) > 1 for line in lines.values()):
            path = directory / f"benchmark-{kind}.svg"
            draw(path, f"{kind}: processor time of one more package", lines)
            drawn.append(path)
    return drawn
