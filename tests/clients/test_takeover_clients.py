"""Clients that were set up for a mirror of the original packrat agent go on, unchanged, once it is taken over."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packrat_demo.private_apt import PrivateApt
from packrat_demo.private_rpm import PrivateDnf
from support.keys import Key
from support.stage import DEADLINE_S
from support.takeover_stage import TakeoverStage, takeover_stage
from support.type_clients import PIP
from support.web_servers import start_on_free_port

# The site that the original's instructions tell people to write, for each directory that is a host of its own.
_SITE = """
<VirtualHost 127.0.0.1:{port}>
    DocumentRoot {root}
    <Directory {root}/>
        Options Indexes FollowSymLinks MultiViews
        AllowOverride {override}
        Order allow,deny
        allow from all
        Require all granted
    </Directory>
</VirtualHost>
"""
_MODULES = (
    *("mpm_event", "access_compat", "alias", "authn_core", "authz_core", "authz_host", "autoindex", "dir", "env"),
    *("headers", "mime", "negotiation", "setenvif"),
)


@contextmanager
def apache(place: Path, root: Path, override: str = "None") -> Iterator[str]:
    """Serve a directory as the original's instructions do; gives the URL."""
    place.mkdir()

    def start(port: int) -> tuple["subprocess.Popen[str]", str]:
        lines = [
            *("ServerName localhost", "User www-data", "Group www-data", f"ServerRoot {place}"),
            *(f"DefaultRuntimeDir {place}", f"PidFile {place}/apache.pid", f"Listen 127.0.0.1:{port}"),
            *("ErrorLog /dev/stderr", "LogLevel notice", "TypesConfig /etc/mime.types"),
            *(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES),
        ]
        (place / "apache.conf").write_text("\n".join(lines) + _SITE.format(port=port, root=root, override=override))
        command = ["apache2", "-D", "FOREGROUND", "-f", f"{place}/apache.conf"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "APACHE_RUN_DIR": str(place)}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        return process, "resuming normal operations"

    port, process = start_on_free_port(start)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def made(key: Key) -> Iterator[TakeoverStage]:
    directory = Path(tempfile.mkdtemp(prefix="taken-", dir="/tmp"))
    # The workers of Apache are another user.
    directory.chmod(0o755)
    try:
        with takeover_stage(directory, key) as stage:
            yield stage
    finally:
        shutil.rmtree(directory)


def run(place: Path, *command: str | Path) -> str:
    environment = {**os.environ, "HOME": str(place), "XDG_RUNTIME_DIR": str(place), "TMPDIR": str(place)}
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Clients:
    """Clients of the original agent's mirror; each keeps its state from one use to the next."""

    def __init__(self, place: Path, www: Path, url: str, registry: str) -> None:
        place.mkdir()
        self._place, self._url, self._host = place, url, registry.removeprefix("http://")
        key = place / "repo-key.asc"
        shutil.copyfile(www / "repo-key", key)
        source = f"deb [signed-by={key}] {url}/apt-dev bookworm main\n"
        self._apts = {arch: PrivateApt(place / arch, source, arch) for arch in ("amd64", "i386")}
        text = (
            f"[old]\nname=old\nbaseurl={url}/yum-dev/rhel/main/9/\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\n"
            f"gpgkey={url}/repo-key\n"
        )
        self._dnf = PrivateDnf(place / "dnf", text)

    def use_apt(self, arch: str, *packages: str) -> None:
        """Update, and download packages."""
        apt = self._apts[arch]
        for said in (apt.run("update"), apt.run("download", *packages)):
            assert (said.exit_code, "W:" in said.output) == (0, False), said.output
        for package in packages:
            [path] = apt.downloads.glob(f"{package.partition('=')[0]}_*.deb")
            path.unlink()

    def use_dnf(self, *packages: str) -> None:
        """Refresh the metadata, install packages, and remove them again."""
        for arguments in (("makecache", "--refresh"), ("install", *packages), ("remove", *packages)):
            said = self._dnf.run(*arguments)
            assert said.exit_code == 0, said.output

    def use_pip(self, path: str, module: str) -> None:
        """Install from a package's own address."""
        target = self._place / "target"
        options = ["--isolated", "--disable-pip-version-check", "--no-cache-dir", f"--python={sys.executable}"]
        link = f"{self._url}/pypi-dev/{path}"
        run(self._place, PIP, *options, "install", "--no-deps", "--target", target, link)
        assert (target / module).exists()
        shutil.rmtree(target)

    def use_skopeo(self, reference: str) -> None:
        """Copy an image."""
        copy = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false"]
        run(self._place, *copy, f"docker://{self._host}/{reference}", f"dir:{self._place / 'image'}")
        shutil.rmtree(self._place / "image")

    def use_manifest(self, path: str) -> None:
        """Get the list of files, check its signature, and get a file that it names."""
        base = f"{self._url}/json-dev"
        names = ("_repo_main/MANIFEST_all.json", "_repo_main/MANIFEST_all.json.gpg", path)
        run(self._place, "curl", "-fsS", "--create-dirs", *(w for n in names for w in ("-o", n, f"{base}/{n}")))
        run(self._place, "gpg", "--homedir", ".", "--batch", "--import", "repo-key.asc")
        run(self._place, "gpg", "--homedir", ".", "--batch", "--verify", names[1], names[0])
        listed = json.loads((self._place / names[0]).read_text())
        [file] = [file for files in listed.values() for file in files if file["path"] == path]
        assert hashlib.sha256((self._place / path).read_bytes()).hexdigest() == file["sha256"]

    def use_all(self) -> None:
        """What each client did with the original's mirror."""
        self.use_apt("amd64", "first=1.0", "third-doc=3.0", "jq=1.6-2.1+deb12u3")
        self.use_apt("i386", "second=2.0", "third-doc=3.0")
        self.use_dnf("tool-1.0", "texts-2.0", "python3.11-3.0")
        self.use_pip("packages/my/my-tool-2.0.tar.gz", "my_tool.py")
        self.use_pip("packages/speake/speaker-1.0-py3-none-any.whl", "speaker.py")
        for tag in ("1.0", "1.1", "latest"):
            self.use_skopeo(f"web:{tag}")
        self.use_manifest("settings/settings_7.json")


def test_clients_of_the_original_mirror_notice_nothing(made: TakeoverStage, tmp_path: Path) -> None:
    www = made.lab.www
    repo_key = (www / "repo-key").read_bytes()
    # Only the registry's host in the web server is changed, as the dry run says: it reads .htaccess files.
    with (
        apache(tmp_path / "site", www) as url,
        apache(tmp_path / "registry", www / "docker-dev", "FileInfo") as registry,
    ):
        clients = Clients(tmp_path / "clients", www, url, registry)
        clients.use_all()
        assert "AllowOverride FileInfo" in made.lab.agent("sync", "--dry-run").stdout
        assert " 0 B downloaded" in made.lab.agent("sync", "--adopt").stdout
        clients.use_all()
        assert (www / "repo-key").read_bytes() == repo_key
        # An i386 client of a suite without any i386 package still finds its index.
        for name in ("Packages.xz", "Release"):
            run(tmp_path, "curl", "-fsS", "-o", "/dev/null", f"{url}/apt-dev/dists/trixie/main/binary-i386/{name}")
        # What nobody could use before: the index of Python packages. It names today's place.
        page = run(tmp_path, "curl", "-fsS", f"{url}/pypi-dev/simple/my-tool/index.html")
        assert "../../packages/my-too/my-tool-2.0.tar.gz#" in page
