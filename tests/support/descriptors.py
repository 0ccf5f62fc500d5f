"""What this process has open, of which other threads open and close some at any moment."""

from contextlib import suppress
from pathlib import Path


def open_below(top: Path) -> list[str]:
    """Give what is open below a directory."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return [path for path in found if path.startswith(f"{top}/") or path == str(top)]
