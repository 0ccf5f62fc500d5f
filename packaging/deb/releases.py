"""The releases of Debian that packages are built for, and the packages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Debian: its Python, and what packages are called there.

    Attributes:
        name: The codename.
        suffix: What follows the version, so that an upgrade of Debian upgrades the package.
        python: The version of its Python.
        glib: The package of GLib, which reads rpms for the agent.
    """

    name: str
    suffix: str
    python: tuple[int, int]
    glib: str


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package.

    Attributes:
        name: Its name, and that of its program.
        module: The import package of that program.
        left_out: Import packages of the project that it does not need.
        extra: The extra of the project whose dependencies it needs; '' for none.
        summary: The first line of its description.
        description: The rest of it.
    """

    name: str
    module: str
    left_out: tuple[str, ...]
    extra: str
    summary: str
    description: tuple[str, ...]


RELEASES = {
    release.name: release
    for release in (
        Release("bookworm", "+deb12", (3, 11), "libglib2.0-0"),
        Release("trixie", "+deb13", (3, 13), "libglib2.0-0t64"),
    )
}

AGENT = Package(
    "packrat-agent",
    "packrat_agent",
    ("packrat_server", "packrat_demo"),
    "",
    "build signed package repositories from a packrat server",
    (
        "Follows a packrat server and builds complete apt, yum, PyPI, docker and file",
        "repositories from it, which any web server can serve as files. They are signed",
        "where their clients check signatures.",
        ".",
        "After the installation, 'packrat-agent init' sets up the mirror.",
    ),
)
SERVER = Package(
    "packrat-server",
    "packrat_server",
    ("packrat_agent", "packrat_demo"),
    "server",
    "keep package files and promote them through tags",
    (
        "Keeps package files of every type and promotes them through tags, dev, stage,",
        "prod, for packrat agents that build repositories from them. Data is in SQLite",
        "or PostgreSQL.",
        ".",
        "After the installation, 'packrat-server init' makes its data directory.",
    ),
)
PACKAGES = (AGENT, SERVER)
