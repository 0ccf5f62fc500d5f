"""With the landing page's lines, a private project is never taken from another index."""

import html
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from packrat_demo.build_wheel import Python, write_wheel
from support.stage import Stage, stage
from support.web import web_server

_UV = Path(__file__).parents[2] / ".cache/clients/bin/uv"
_PROJECT = """\
[project]
name = "x"
version = "1"
requires-python = ">=3.9"
dependencies = ["packrat-base"]

"""


def _publish(lab: Stage, version: str) -> None:
    lab.server.put(
        write_wheel(Python("packrat-base", version, (), files=(("base.py", b""),)), lab.directory), ("pypi",)
    )
    lab.agent("sync")


@pytest.mark.parametrize("is_told", [True, False])
def test_uv_takes_a_named_project_from_the_mirror_alone(tmp_path: Path, is_told: bool) -> None:
    for name in ("private", "public", "project"):
        (tmp_path / name).mkdir()
    with stage(tmp_path / "private", None, ("pypi",), "pypi") as private:
        _publish(private, "1.5")
        # In PyPI's place: somebody registered the name there, with a higher version.
        with stage(tmp_path / "public", None, ("pypi",), "pypi") as public:
            _publish(public, "99.0")
    page = (private.www / "index.html").read_text()
    [lines] = [html.unescape(block) for block in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL) if "tool.uv" in block]
    with web_server(public.www) as public_url, web_server(private.www) as url:
        lines = lines.replace("http://THIS-HOST", url).replace("YOUR-PROJECT", "packrat-base")
        (tmp_path / "project/pyproject.toml").write_text(_PROJECT + (lines if is_told else ""))
        subprocess.run(
            [str(_UV), "lock", "--default-index", f"{public_url}/pypi-dev/simple/"],
            cwd=tmp_path / "project",
            env={**os.environ, "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_PYTHON_DOWNLOADS": "never"},
            check=True,
            timeout=120,
        )
    locked = tomllib.loads((tmp_path / "project/uv.lock").read_text())["package"]
    [version] = [package["version"] for package in locked if package["name"] == "packrat-base"]
    assert version == ("1.5" if is_told else "99.0")
