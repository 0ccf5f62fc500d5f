"""Reads the requirements of METADATA as a real pip does: base64 on each line of input, a word on each of output.

`takes`, `passes` (the file is passed over, an older version is taken) or `ends` (pip ends with an error). A process of
its own, run by the Python that pip is installed for. The first line of its output is the version of pip.
"""

import base64
import importlib
import sys
from typing import Any


def main() -> None:
    """Answer each line."""
    version = importlib.import_module("pip").__version__
    metadata: Any = importlib.import_module("pip._internal.metadata")
    invalid: Any = importlib.import_module("pip._vendor.packaging.requirements").InvalidRequirement
    manager: Any = importlib.import_module("pip._internal.utils.temp_dir").global_tempdir_manager
    passes_over = tuple(int(part) for part in version.split(".")[:2]) >= (24, 1)
    print(version, flush=True)
    for line in sys.stdin:
        with manager():
            found = metadata.get_metadata_distribution(base64.b64decode(line), "x.whl", "x")
            try:
                list(found.iter_dependencies())
                word = "takes"
            except invalid:
                word = "passes" if passes_over else "ends"
            except Exception:
                word = "ends"
            print(word, flush=True)


if __name__ == "__main__":
    main()
