"""Writes down what was measured: one table for people, one JSON file for comparing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.contender import WORKS, Row
from bench.meter import Measured

RESULTS = Path(__file__).parent / "results"


def write_table(rows: Sequence[Row]) -> str:
    """One line a contender and size: the median time and the peak memory of each work."""
    heads = ["packages", "", *WORKS]
    lines = [[f"{row.packages:,}", row.name, *(_cell(row.cells[work]) for work in WORKS)] for row in rows]
    widths = [max(len(line[at]) for line in [heads, *lines]) for at in range(len(heads))]
    text = [_line(heads, widths), _line(["-" * width for width in widths], widths)]
    text += [_line(line, widths) for line in lines]
    return "\n".join(text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    aligned = [cell.ljust(width) if at == 1 else cell.rjust(width) for at, (cell, width) in enumerate(pairs)]
    return f"| {' | '.join(aligned)} |"


def _cell(measured: Measured | None) -> str:
    if measured is None:
        return "-"
    return f"{write_seconds(measured.seconds)}, {measured.peak_kib / 1024:.0f} MiB"


def write_seconds(seconds: float) -> str:
    """Three figures."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.{2 if seconds < 10 else 1}f} s"


def save(rows: Sequence[Row], machine: Mapping[str, str], directory: Path = RESULTS) -> Path:
    """Keep everything, single rounds too, under the present time."""
    now = datetime.now(UTC)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{now:%Y%m%dT%H%M%SZ}.json"
    document = {"at": now.isoformat(timespec="seconds"), "machine": machine, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return path
