"""mirror.conf, as tests write it."""

from pathlib import Path


def write_mirror_conf(
    directory: Path,
    host: str = "packrat.example.com",
    *,
    name: str = "lab",
    root_dir: Path | None = None,
    packrat: str = "",
    mirror: str = "",
) -> Path:
    """Write a configuration whose root_dir and state_db lie in `directory`.

    Args:
        directory: where mirror.conf is written.
        host: the server's name or URL.
        name: the mirror's name.
        root_dir: another root_dir than `www` in the directory.
        packrat: further lines for [packrat], such as the psk.
        mirror: further lines for [mirror].

    Returns:
        The path of mirror.conf, which only its owner may read.
    """
    path = directory / "mirror.conf"
    path.write_text(
        f"[packrat]\nhost: {host}\nname: {name}\n{packrat}\n"
        f"[mirror]\nroot_dir: {root_dir or directory / 'www'}\nstate_db: {directory / 'state' / 'state.db'}\n{mirror}\n"
    )
    path.chmod(0o600)
    return path
