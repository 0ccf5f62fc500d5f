"""Reads METADATA as the real pip does: base64 on each line of its input, JSON on each line of its output.

A process of its own, run by the Python that pip is installed for. An answer is [name, version, requires-python], or
null where pip fails.
"""

import base64
import importlib
import json
import sys
from typing import Any


def main() -> None:
    """Answer each line."""
    metadata: Any = importlib.import_module("pip._internal.metadata")
    manager: Any = importlib.import_module("pip._internal.utils.temp_dir").global_tempdir_manager
    for line in sys.stdin:
        with manager():
            print(json.dumps(_read(metadata, base64.b64decode(line))), flush=True)


def _read(metadata: Any, content: bytes) -> list[str] | None:
    try:
        found = metadata.get_metadata_distribution(content, "x.whl", "x")
        return [str(found.canonical_name), str(found.version), str(found.metadata.get("Requires-Python", ""))]
    except Exception:
        # Whatever it is, pip ends with it.
        return None


if __name__ == "__main__":
    main()
