"""Builds the Debian packages of agent and server: `make deb`.

Each has an environment of its own in /usr/lib, from wheels that requirements/run.txt pins by hash. The same commit
gives the same bytes. docs/adr/0018-debian-packages.md says why they are made like this.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from environment import download, lay_out
from man_pages import write_page_of_document, write_program_page
from releases import AGENT, PACKAGES, RELEASES, Package, Release

from packrat_core import __version__

_HERE = Path(__file__).parent
_TOP = _HERE.parents[1]
_MAINTAINER = "packrat-agent developers <packrat-agent@localhost>"
_COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/{}",
    "zsh": "usr/share/zsh/vendor-completions/_{}",
    "fish": "usr/share/fish/vendor_completions.d/{}.fish",
}


def main() -> None:
    """Build what the command line asks for, into dist/."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", choices=list(RELEASES), action="append", help="only for this release of Debian")
    parser.add_argument("--package", choices=[package.name for package in PACKAGES], action="append")
    parser.add_argument("--version", default="", help="in place of the project's")
    parser.add_argument("--fast", action="store_true", help="compress little, to try the package out")
    parser.add_argument("--wheels", type=Path, default=_TOP / ".cache/deb", help="where to keep what is downloaded")
    parser.add_argument("--output", type=Path, default=_TOP / "dist")
    given = parser.parse_args()
    os.umask(0o022)
    os.environ.setdefault("SOURCE_DATE_EPOCH", _commit_time())
    version = given.version or _version()
    architecture = _output_of("dpkg", "--print-architecture")
    given.output.mkdir(exist_ok=True)
    for name in given.release or RELEASES:
        release = RELEASES[name]
        with tempfile.TemporaryDirectory(prefix="packrat-deb-") as scratch:
            wheels = Path(scratch) / "wheels"
            wheels.mkdir()
            cache = given.wheels / f"{name}-{architecture}"
            download(_TOP / "requirements/run.txt", release, architecture, wheels, cache)
            command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
            subprocess.run(command, cwd=_TOP, check=True, stdout=subprocess.DEVNULL)
            for package in PACKAGES:
                if given.package and package.name not in given.package:
                    continue
                tree = Path(scratch) / package.name
                lay_out(package, release, architecture, wheels, tree / "usr/lib" / package.name)
                _add_files(package, version + release.suffix, tree)
                _write_control(package, release, version + release.suffix, architecture, tree)
                target = given.output / f"{package.name}_{version}{release.suffix}_{architecture}.deb"
                # xz, which every dpkg reads.
                how = ["-Zgzip", "-z1"] if given.fast else ["-Zxz"]
                subprocess.run(["dpkg-deb", "--root-owner-group", *how, "--build", tree, target], check=True)


def _add_files(package: Package, version: str, tree: Path) -> None:
    """Add what lies outside of the environment: the program's link, unit, user, manual pages, completions."""
    source, name = _HERE / package.name, package.name
    (tree / "usr/bin").mkdir()
    (tree / "usr/bin" / name).symlink_to(f"../lib/{name}/bin/{name}")
    for file, place in (
        ("sysusers", f"usr/lib/sysusers.d/{name}.conf"),
        ("tmpfiles", f"usr/lib/tmpfiles.d/{name}.conf"),
        ("default", f"etc/default/{name}"),
        ("lintian-overrides", f"usr/share/lintian/overrides/{name}"),
    ):
        _put(tree / place, (source / file).read_text())
    _put(tree / f"usr/lib/systemd/system/{name}.service", _unit(name))
    documents = tree / "usr/share/doc" / name
    _put(documents / "copyright", _copyright(tree / "usr/lib" / name))
    _put_compressed(documents / "changelog.gz", _changelog(name, version))
    _put_compressed(documents / "NEWS.gz", (_TOP / "CHANGELOG.md").read_text())
    for page in sorted((_TOP / "docs").glob("*.md")):
        _put(documents / "docs" / page.name, page.read_text())
    if package is AGENT:
        _put(documents / "examples/mirror.conf", (_TOP / "packaging/mirror.conf").read_text())
    _add_manual(package, tree)
    group: click.Group = import_module(f"{package.module}.cli.main").main
    for shell, place in _COMPLETIONS.items():
        kind = get_completion_class(shell)
        assert kind is not None
        completion = kind(group, {}, name, f"_{name.upper().replace('-', '_')}_COMPLETE")
        _put(tree / place.format(name), completion.source_template % completion.source_vars())


def _add_manual(package: Package, tree: Path) -> None:
    date = f"{_now():%Y-%m-%d}"
    group: click.Group = import_module(f"{package.module}.cli.main").main
    see = "mirror.conf(5)" if package is AGENT else "packrat-agent(1)"
    page = write_program_page(group, package.summary, __version__, date, see)
    _put_compressed(tree / f"usr/share/man/man1/{package.name}.1.gz", page)
    if package is AGENT:
        text = (_TOP / "docs/configuration.md").read_text()
        page = write_page_of_document(text, "mirror.conf", 5, "configuration of packrat-agent", date)
        _put_compressed(tree / "usr/share/man/man5/mirror.conf.5.gz", page)


def _unit(name: str) -> str:
    """Adapt the unit to where the package puts the program, and to its file of options."""
    text = (_TOP / f"packaging/{name}.service").read_text()
    # The comments at its top are for those who install it by hand.
    body = text[text.index("[Unit]") :]
    variable = f"{name.upper().replace('-', '_')}_OPTIONS"
    start = f"ExecStart=/usr/bin/{name} "
    body = body.replace(f"ExecStart=/opt/packrat-agent/bin/{name} ", start)
    if name == AGENT.name:
        body = body.replace(f"{start}run", f"{start}${variable} run")
    else:
        fixed = " --listen 127.0.0.1:8888 --trusted-proxies 127.0.0.1"
        assert fixed in body, "the unit of the server has other options now"
        body = body.replace(fixed, f" ${variable}")
    assert f"${variable}" in body
    body = body.replace(start, f"EnvironmentFile=-/etc/default/{name}\n{start}")
    return f"# Changes go into a drop-in: systemctl edit {name}\n{body}"


def _write_control(package: Package, release: Release, version: str, architecture: str, tree: Path) -> None:
    major, minor = release.python
    needs = [
        f"python{major}.{minor}",
        f"python3 (>= {major}.{minor})",
        f"python3 (<< {major}.{minor + 1})",
        "libc6 (>= 2.36)",
        # Where systemd runs, it does both; elsewhere these are much smaller.
        "systemd-standalone-sysusers | systemd",
        "systemd-standalone-tmpfiles | systemd",
        release.glib,
    ]
    needs += ["gnupg", "gpgv"] if package is AGENT else []
    size = sum(path.lstat().st_size for path in tree.rglob("*") if path.is_file()) // 1024
    recommends = "Recommends: nginx | apache2\n" if package is AGENT else "Suggests: postgresql, nginx | apache2\n"
    description = "\n".join(f" {line}" for line in package.description)
    _put(
        tree / "DEBIAN/control",
        f"Package: {package.name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {_MAINTAINER}\n"
        f"Installed-Size: {size}\nDepends: {', '.join(needs)}\n{recommends}Section: admin\nPriority: optional\n"
        f"Description: {package.summary}\n{description}\n",
    )
    _put(tree / "DEBIAN/conffiles", f"/etc/default/{package.name}\n")
    for script in ("postinst", "prerm", "postrm"):
        _put(tree / "DEBIAN" / script, (_HERE / package.name / script).read_text(), 0o755)
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    listed = [path.relative_to(tree) for path in files if path.relative_to(tree).parts[0] != "DEBIAN"]
    sums = subprocess.run(["md5sum", "--", *listed], cwd=tree, check=True, capture_output=True, text=True).stdout
    _put(tree / "DEBIAN/md5sums", sums)


def _copyright(environment: Path) -> str:
    """Name the licences of what is inside; their texts are with each of them in the environment."""
    inside = sorted({path.name.partition("-")[0] for path in environment.rglob("*.dist-info")})
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: packrat-agent\n\n"
        "Files: *\nCopyright: 2026 packrat-agent developers\nLicense: Apache-2.0\n"
        " On Debian systems, the text is in /usr/share/common-licenses/Apache-2.0.\n"
        f"Comment: The environment in /usr/lib holds {', '.join(inside)},\n"
        " each under its own licence, which stands in its directory *.dist-info.\n"
    )


def _changelog(name: str, version: str) -> str:
    date = _now().strftime("%a, %d %b %Y %H:%M:%S +0000")
    return f"{name} ({version}) stable; urgency=medium\n\n  * See NEWS.gz.\n\n -- {_MAINTAINER}  {date}\n"


def _put(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _put_compressed(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _now() -> datetime:
    return datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)


def _commit_time() -> str:
    """Give the time of the commit; outside of a clone, that of the changelog."""
    if shutil.which("git") and (_TOP / ".git").exists():
        return _output_of("git", "log", "-1", "--format=%ct")
    return str(int((_TOP / "CHANGELOG.md").stat().st_mtime))


def _version() -> str:
    """Give the project's version, and, between two releases, the commit too."""
    if not shutil.which("git") or not (_TOP / ".git").exists():
        return __version__
    tags = _output_of("git", "tag", "--points-at", "HEAD").split()
    if f"v{__version__}" in tags:
        return __version__
    return f"{__version__}+git{_now():%Y%m%d%H%M%S}.{_output_of('git', 'rev-parse', '--short=8', 'HEAD')}"


def _output_of(*command: str) -> str:
    return subprocess.run(command, cwd=_TOP, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
