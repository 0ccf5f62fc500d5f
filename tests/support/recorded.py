"""The exchanges recorded from the original packrat server."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIRE = Path(__file__).parents[1] / "server" / "wire"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what the original server answered."""

    file: str
    number: int
    name: str
    after_s: float
    verb: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: Any
    status: int
    answer_headers: tuple[tuple[str, str], ...]
    answer: Any

    @property
    def id(self) -> str:
        """`05:12 no id: GET Mirror`."""
        return f"{self.file[:2]}:{self.number} {self.name}"

    def header(self, name: str) -> str | None:
        """A header of the request."""
        return {key.lower(): value for key, value in self.headers}.get(name.lower())


def read_wire(*prefixes: str) -> list[Exchange]:
    """All exchanges of the files that begin so; those whose request was not recorded as text are left out."""
    found = []
    for path in sorted(WIRE.glob("*.json")):
        if prefixes and not path.name.startswith(prefixes):
            continue
        for number, exchange in enumerate(json.loads(path.read_text())):
            request, response = exchange["request"], exchange["response"]
            parts = request["line"].split(" ")
            if request["line"].startswith("<<") or len(parts) != 3 or parts[2] != "HTTP/1.1":
                continue
            if not response["status"].startswith("HTTP/"):
                continue
            if "<<recorder" in request["headers"] or "<<recorder" in str(request["body"])[-80:]:
                continue
            found.append(
                Exchange(
                    path.name,
                    number,
                    exchange["name"],
                    exchange["after_s"],
                    parts[0],
                    parts[1],
                    tuple(request["headers"].items()),
                    request["body"],
                    int(response["status"].split(" ")[1]),
                    tuple(response["headers"].items()),
                    response["body"],
                )
            )
    return found
