"""Draws cost against size as an SVG, with both axes logarithmic: a line a contender."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path

_WIDTH, _HEIGHT = 800, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 290, 40, 50
_COLOURS = ("#0b6e99", "#d9730d", "#4d6461", "#ad1a72", "#6940a5", "#9b9a97", "#0f7b6c", "#e03e3e")

Line = Sequence[tuple[float, float]]
"""Points: number of packages, seconds."""


def draw(path: Path, title: str, lines: Mapping[str, Line]) -> None:
    """Write an SVG.

    Args:
        path: The file.
        title: What stands above.
        lines: The name of each contender → its points.
    """
    points = [point for line in lines.values() for point in line if point[0] > 0 and point[1] > 0]
    if not points:
        return
    across = _Axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>',
        *(
            f'<path d="M{_LEFT} {up.place(tick):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 8}" y="{up.place(tick) + 4:.1f}" text-anchor="end">{tick:g} s</text>'
            for tick in up.ticks()
        ),
        *(
            f'<path d="M{across.place(tick):.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>'
            f'<text x="{across.place(tick):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{tick:,.0f}</text>'
            for tick in across.ticks()
        ),
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">packages</text>',
    ]
    for number, (name, line) in enumerate(lines.items()):
        places = [(across.place(x), up.place(y)) for x, y in sorted(line) if x > 0 and y > 0]
        if places:
            parts.append(_draw_line(name, places, number))
    path.write_text("\n".join([*parts, "</svg>\n"]))


def _draw_line(name: str, places: Sequence[tuple[float, float]], number: int) -> str:
    colour, y = _COLOURS[number % len(_COLOURS)], _TOP + 12 + 18 * number
    way = " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    x = _WIDTH - _RIGHT + 16
    return (
        f'<g fill="{colour}" stroke="{colour}"><path d="M{way}" fill="none" stroke-width="2"/>{dots}'
        f'<path d="M{x} {y - 4}h14" stroke-width="2"/></g><text x="{x + 20}" y="{y}">{escape(name)}</text>'
    )


class _Axis:
    """A logarithmic axis from one place of the picture to another."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self._low = floor(log10(min(values)))
        self._high = max(ceil(log10(max(values))), self._low + 1)
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Where a value stands."""
        share = (log10(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """The powers of ten."""
        return [10.0**power for power in range(self._low, self._high + 1)]
