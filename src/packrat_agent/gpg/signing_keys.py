"""The keys that a mirror signs with: which one signs which repository.

1. The key of `[repo NAME]` signs the repository of that name.
2. Otherwise the key of `[tag NAME]` signs the repositories of that tag.
3. Otherwise the main key, that of `[mirror]`, signs; without one, the repository is not signed.

    keys = SigningKeys(main, {"tag prod": other})
    keys.of(repo)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from packrat_agent.gpg.rotation import NO_ROTATION, Rotation
from packrat_agent.gpg.signers import Signers
from packrat_agent.gpg.signing_key import PublicKey, SigningKey
from packrat_agent.model.key_places import MAIN_KEY, KeyPlace, own_key_place
from packrat_agent.model.records import Repo


@dataclass(frozen=True, slots=True)
class PreparedKey:
    """A key that signs, and what clients need of it.

    `public` holds all keys that clients need in this phase of a rotation. `standalone_subkey`: the signing subkey as a
    key of its own; None if the primary key signs.
    """

    key: SigningKey
    public: PublicKey
    standalone_subkey: bytes | None = None
    rotation: Rotation = NO_ROTATION

    @property
    def signers(self) -> Signers:
        """The key and those that sign beside it."""
        return Signers(self.key, self.rotation.next, self.rotation.former)


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The main key, and those of sections of mirror.conf, such as `repo apt-prod` and `tag prod`."""

    main: PreparedKey | None = None
    of_sections: Mapping[str, PreparedKey] = field(default_factory=dict)

    def section_of(self, repo: Repo) -> str | None:
        """Name the section whose key signs a repository; None where it has no key of its own."""
        sections = (f"repo {repo.name}", f"tag {repo.tag}")
        return next((section for section in sections if section in self.of_sections), None)

    def of(self, repo: Repo) -> PreparedKey | None:
        """Return the key that signs a repository; None if it is not signed."""
        section = self.section_of(repo)
        return self.main if section is None else self.of_sections[section]

    def all(self) -> tuple[PreparedKey, ...]:
        """Give the main key and those of all sections."""
        main = () if self.main is None else (self.main,)
        return (*main, *self.of_sections.values())

    def depends_on_tag(self, repo: Repo) -> bool:
        """Tell whether the tag of a repository may decide which key signs it."""
        return f"repo {repo.name}" not in self.of_sections and any(
            section.startswith("tag ") for section in self.of_sections
        )

    def place_of(self, repo: Repo) -> KeyPlace:
        """Give where the public key of a repository is published."""
        return MAIN_KEY if self.section_of(repo) is None else own_key_place(repo.name)

    def unused(self, repos: Sequence[Repo]) -> tuple[str, ...]:
        """Name the sections that belong to no repository, such as misspelled ones, as far as repositories are known."""
        used = {f"repo {repo.name}" for repo in repos} | {f"tag {repo.tag}" for repo in repos}
        known = {word for word, values in (("repo", repos), ("tag", [r for r in repos if r.tag])) if values}
        return tuple(name for name in self.of_sections if name not in used and name.partition(" ")[0] in known)
