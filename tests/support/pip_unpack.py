"""Unpacks source distributions and wheels as the real pip does: for each line of its input, `true` where pip takes it.

A process of its own, run by the Python that pip is installed for. A line is JSON: [file, directory to unpack it to].
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Answer each line."""
    unpacking: Any = importlib.import_module("pip._internal.utils.unpacking")
    for line in sys.stdin:
        file, place = json.loads(line)
        Path(place).mkdir(parents=True)
        try:
            unpacking.unpack_file(file, place)
        except Exception:
            # Whatever it is, pip ends with it.
            print("false", flush=True)
        else:
            print("true", flush=True)


if __name__ == "__main__":
    main()
