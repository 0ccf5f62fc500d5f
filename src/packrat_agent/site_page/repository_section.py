"""Writes what the landing page says of one repository: what is signed, when it was published, and how clients use it.

All text that others chose (names, descriptions) is escaped, in elements and in attributes. `verify` reads the heading
and the lines again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from packrat_agent.formats.interface import ClientSetup
from packrat_agent.model.key_places import MAIN_KEY, KeyPlace
from packrat_agent.model.records import Repo
from packrat_agent.site_page.package_list import DIRECTORY

_NOTHING_SIGNED = (
    "Nothing in it is signed. Clients check each file by its hash in the index, and the index is as safe as the way to "
    "this site, so use https."
)
_IMAGES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a docker repository: what their names begin with when they are pulled, and their names."""

    prefix: str
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class KeyShown:
    """A public key: where it is published, and the fingerprint of its primary key."""

    place: KeyPlace
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Introduction:
    """A repository as the landing page introduces it.

    Attributes:
        repo: the repository.
        setups: the lines that a user pastes on a client, the usual way first.
        with_tls: where the mirror does not know its address, the lines for the same in case that it has TLS.
        signed: which files of it are signed; None if none is.
        key: the key that it is signed with; None if it has no signing key.
        published_at: when something of it was last published, in epoch seconds; None if nothing was.
        packages: how many packages its list has; None if it has no list.
        images: its images; None if it has none, or they can't be pulled.
    """

    repo: Repo
    setups: Sequence[ClientSetup]
    with_tls: Sequence[ClientSetup] = ()
    signed: str | None = None
    key: KeyShown | None = None
    published_at: float | None = None
    packages: int | None = None
    images: Images | None = None

    @property
    def anchor(self) -> str:
        """The id of its section."""
        return f"repository-{self.repo.name}"


def write_section(introduction: Introduction) -> list[str]:
    """Write the section of a repository, as lines."""
    repo = introduction.repo
    attributes = [f'id="{_quoted(introduction.anchor)}"', f'data-repository="{_quoted(repo.name)}"']
    if introduction.packages is not None:
        attributes.append(f'data-packages="{_quoted(f"./{repo.directory}/{DIRECTORY}")}"')
    if introduction.images is not None:
        attributes.append(f'data-image="{_quoted(introduction.images.prefix)}"')
    lines = [
        f"<section {' '.join(attributes)}>",
        f'<h2><a href="{_quoted(repo.directory)}/">{escape(repo.name)}</a> '
        f'<span class="kind">{escape(repo.kind)}</span></h2>',
    ]
    if repo.description:
        lines.append(f"<p>{escape(repo.description)}</p>")
    what = f"Signed: {introduction.signed}." if introduction.signed else _NOTHING_SIGNED
    lines.append(f'<p class="signed">{escape(what)}{_own_key(introduction)}</p>')
    if introduction.published_at is not None:
        lines.append(f"<p>Last published {write_time(introduction.published_at)}</p>")
    if introduction.images is not None:
        lines += _write_images(introduction.images)
    for number, setup in enumerate(introduction.setups):
        with_tls = introduction.with_tls[number].lines if introduction.with_tls else None
        lines += _write_setup(repo, setup, with_tls, is_open=number == 0)
    return [*lines, "</section>"]


def write_time(moment_s: float) -> str:
    """Write a moment, in epoch seconds."""
    moment = datetime.fromtimestamp(moment_s, UTC)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M} UTC</time>'


def write_key(key: KeyShown) -> str:
    """Write links to a public key, and its fingerprint."""
    armored, binary = _quoted(key.place.armored), _quoted(key.place.binary)
    groups = " ".join(key.fingerprint[at : at + 4] for at in range(0, len(key.fingerprint), 4))
    return (
        f'<a href="{armored}">{armored}</a> (<a href="{binary}">binary form</a>), fingerprint '
        f'<span class="mono">{escape(groups)}</span>'
    )


def _own_key(introduction: Introduction) -> str:
    key = introduction.key
    if not introduction.signed or key is None or key.place == MAIN_KEY:
        return ""
    return f" Its own key: {write_key(key)}."


def _write_images(images: Images) -> list[str]:
    shown = images.names[:_IMAGES_SHOWN]
    rows = [f'<li class="mono"><span data-host>{escape(f"{images.prefix}/{name}")}</span></li>' for name in shown]
    rest = len(images.names) - len(shown)
    more = [f"<p>And {rest} more.</p>"] if rest else []
    return [f'<p>Images:</p><ul class="images">{"".join(rows)}</ul>', *more] if rows else []


def _write_setup(repo: Repo, setup: ClientSetup, with_tls: str | None, *, is_open: bool) -> list[str]:
    label = f"{setup.client}, {repo.name}"
    tls = f' data-https="{_quoted(with_tls)}"' if with_tls is not None and with_tls != setup.lines else ""
    title = [f"<p>{escape(setup.title)}</p>"] if setup.title else []
    if with_tls is not None and setup.ipv6_title:
        # The script shows it.
        title.append(f'<p class="ipv6-note" hidden>{escape(setup.ipv6_title)}</p>')
    return [
        f"<details{' open' if is_open else ''}><summary>{escape(setup.client)}</summary>",
        *title,
        f'<div data-label="{_quoted(label)}" data-host{tls}><pre>{escape(setup.lines)}</pre></div>',
        "</details>",
    ]


def _quoted(text: str) -> str:
    return escape(text, quote=True)
