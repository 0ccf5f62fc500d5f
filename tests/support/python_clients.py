"""The real pip, uv and poetry, which know nothing but what a test tells them."""

import functools
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CACHE = Path(__file__).parents[2] / ".cache"
CLIENTS = _CACHE / "clients/bin"


def run(name: str, *arguments: str, directory: Path, expect: int | None = 0) -> str:
    """Run a client that knows nothing but what it is told; gives what it says."""
    program = CLIENTS / name
    assert program.exists(), f"{program} is missing: tests/provision.sh installs it"
    keep = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "POETRY_"))}
    own = {
        "HOME": str(directory),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_NO_CACHE_DIR": "1",
        "UV_CACHE_DIR": str(directory / "uv-cache"),
        "UV_NO_CONFIG": "1",
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
        "POETRY_CONFIG_DIR": str(directory / "poetry-config"),
        "POETRY_CACHE_DIR": str(directory / "poetry-cache"),
        "POETRY_VIRTUALENVS_IN_PROJECT": "true",
        "POETRY_KEYRING_ENABLED": "false",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        [str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=directory,
        env=keep | own,
        check=False,
    )
    told = done.stdout + done.stderr
    if expect is None:
        assert done.returncode != 0, told
    else:
        assert done.returncode == expect, told
    return told


def pip(index: str, directory: Path, *arguments: str, expect: int | None = 0) -> str:
    target = ("--target", str(directory / "target"))
    return run("pip", "install", "--index-url", index, *target, *arguments, directory=directory, expect=expect)


def debians_pip(index: str, directory: Path, *arguments: str) -> None:
    """Install by the pip that Debian gives to virtual environments, 23.0.1 in Debian 12."""
    (wheel,) = (_CACHE / "debians-pip/usr/share/python-wheels").glob("pip-*.whl")
    target = ("--no-cache-dir", "--target", str(directory / "target"))
    environment = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": "/dev/null", "PYTHONPATH": str(wheel)}
    command = ["/usr/bin/python3", "-m", "pip", "install", "--index-url", index, *target, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def uv(index: str, directory: Path, *arguments: str, expect: int | None = 0) -> str:
    target = ("--target", str(directory / "target"))
    return run(
        "uv", "pip", "install", "--default-index", index, *target, *arguments, directory=directory, expect=expect
    )


def installed(directory: Path) -> set[str]:
    return {path.name for path in (directory / "target").glob("*.dist-info")}


class _PlainFiles(http.server.SimpleHTTPRequestHandler):
    """A web server that nobody told anything."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def plain_server(directory: Path) -> Iterator[str]:
    """Serve a directory by a web server that nobody told anything, so that clients get the HTML; gives its address."""
    handler = functools.partial(_PlainFiles, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
