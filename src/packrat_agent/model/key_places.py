"""The places of the published keys: that of the mirror at the top of root_dir, others by the repository's name."""

from dataclasses import dataclass

OWN_KEYS_DIR = "repo-keys"
"""The directory, in root_dir, of the public keys of repositories that have a key of their own."""


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """The paths of one public key, armored and binary, relative to `root_dir`.

    `keyring` is the name, without its ending, under which clients keep it.
    """

    armored: str
    binary: str
    keyring: str


MAIN_KEY = KeyPlace("repo-key", "repo-key.gpg", "packrat-mirror")
"""The key of all repositories that have none of their own."""


def own_key_place(repo: str) -> KeyPlace:
    """Give the paths of the key that is a repository's own; `repo` is its name."""
    return KeyPlace(f"{OWN_KEYS_DIR}/{repo}.asc", f"{OWN_KEYS_DIR}/{repo}.gpg", f"packrat-repo-{repo}")
