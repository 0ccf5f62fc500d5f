"""What the landing page leads to is looked for, also where an earlier agent wrote the page."""

from html import escape
from pathlib import Path

import pytest

from packrat_agent.formats.table import FORMATS
from packrat_agent.model.key_places import MAIN_KEY
from packrat_agent.model.records import DistroVersion, Repo
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


@pytest.mark.parametrize("url", ["http://r", "http://r/pub", "http://[2001:db8::1]:81"])
def test_a_distribution_version_that_the_page_leads_to_and_that_is_lost_is_found(tmp_path: Path, url: str) -> None:
    repo = Repo("r", "", "yum-dev", "yum", (DistroVersion("rhel9", "rhel", "9", "rpm"),))
    lines = FORMATS["yum"].client_setup(repo, url, MAIN_KEY)[0].lines
    head = '<h2><a href="yum-dev/">yum-dev</a> <span class="kind">yum</span></h2>'
    (tmp_path / "index.html").write_text(f"{head}\n<pre>{escape(lines)}</pre>\n")
    (tmp_path / "yum-dev").mkdir()
    [fault] = [
        finding for finding in audit_site(Subject(tmp_path, None), [("yum", "yum-dev")]) if isinstance(finding, Fault)
    ]
    assert (fault.path, fault.what) == ("yum-dev/rhel/main/9", "is missing, though index.html leads to it")
