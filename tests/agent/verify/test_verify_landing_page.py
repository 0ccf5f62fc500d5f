"""What the landing page leads to is looked for, also where an earlier agent wrote the page."""

from html import escape
from pathlib import Path

import pytest

from packrat_agent.model.key_places import MAIN_KEY
from packrat_agent.verify.findings import Fault, Subject
from packrat_agent.verify.site import audit_site
from support.apt_packages import APT, REPO

_EARLIER = "\n".join(
    f'echo "deb [signed-by=/etc/apt/keyrings/packrat-mirror.gpg] http://r/apt-dev {suite} main" | sudo tee /etc/x.list'
    for suite in ("bookworm", "noble", "trixie")
)


@pytest.mark.parametrize("form", ["list", "sources", "earlier"])
def test_a_suite_that_the_page_leads_to_and_that_is_lost_is_found(tmp_path: Path, form: str) -> None:
    ways = APT.client_setup(REPO, "http://r", MAIN_KEY)
    lines = {"list": ways[0].lines, "sources": ways[1].lines, "earlier": _EARLIER}[form]
    head = '<h2><a href="apt-dev/">apt-dev</a> <span class="kind">apt</span></h2>'
    (tmp_path / "index.html").write_text(f"{head}\n<pre>{escape(lines)}</pre>\n")
    for suite in ("bookworm", "trixie"):
        (tmp_path / "apt-dev/dists" / suite).mkdir(parents=True)
        (tmp_path / "apt-dev/dists" / suite / "Release").touch()
    faults = [
        finding for finding in audit_site(Subject(tmp_path, None), [("apt", "apt-dev")]) if isinstance(finding, Fault)
    ]
    assert faults == [Fault("apt-dev/dists/noble", "is missing, though index.html leads to it")]
