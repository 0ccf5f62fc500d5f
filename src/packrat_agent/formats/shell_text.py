"""Writes what users paste into a shell."""

import shlex

PLACEHOLDER = "THIS-HOST"
"""Stands for the host where the mirror does not know its own address; the script of the landing page fills it in."""


def in_url(path: str) -> str:
    """Write a path below root_dir for a URL in a command line.

    `!` is the only character of a directory's name that a shell doesn't take as it is: at a terminal, bash replaces it
    by an earlier command, even within double quotes.
    """
    return path.replace("!", "%21")


def quoted(url: str) -> str:
    """Write a URL as one word of a command line.

    Most stay as they are. The brackets of an IPv6 address are a pattern of file names to a shell: zsh refuses one that
    matches no file. The host that is filled in later may be such an address.
    """
    return f"'{url}'" if PLACEHOLDER in url and shlex.quote(url) == url else shlex.quote(url)
