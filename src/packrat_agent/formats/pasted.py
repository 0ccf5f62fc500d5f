"""Writes what users paste into a shell."""


def in_url(path: str) -> str:
    """Write a path below root_dir for a URL in a command line.

    Of the characters that a directory can have, a shell takes only `!` for something else: bash at a terminal puts an
    earlier command in its place, within double quotes, too.
    """
    return path.replace("!", "%21")
