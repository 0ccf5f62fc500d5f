"""Tells users how their clients use an apt repository. Web servers need no rules for it: apt reads plain files.

1. A client gets one suite, that of its own release; where the repository does not have it, the lines say so and change
   nothing.
2. A client asks for those of its architectures that the suite has. For any other, apt would report that it skips it.
3. There are two forms, a .list file and a deb822 .sources file; each replaces the other.

Source: sources.list(5), os-release(5).
"""

from dataclasses import dataclass

from packrat_agent.formats.apt.layout import COMPONENT, suite_directory, suite_of
from packrat_agent.formats.interface import ClientSetup
from packrat_agent.formats.shell_text import in_url, quoted
from packrat_agent.model.key_places import KeyPlace
from packrat_agent.model.records import Repo

_KEYRINGS = "/etc/apt/keyrings"
_PARTS = "/etc/apt/sources.list.d"
_OWN_SUITE = "The lines take the suite of the client's own release, by its /etc/os-release."


@dataclass(frozen=True, slots=True)
class _Form:
    """A form of the file: its ending and that of the other form, the command that prints it, what separates values."""

    ending: str
    other: str
    command: str
    separator: str


def client_setup(repo: Repo, url: str, key: KeyPlace | None) -> tuple[ClientSetup, ClientSetup]:
    """Give the commands that install the key and a .list file, and those for a .sources file.

    Args:
        repo: the repository.
        url: the address of root_dir as the client knows it.
        key: where the public key is published that the Release files are signed with; None if they are not.
    """
    place = f"{url}/{in_url(repo.directory)}"
    option = f"signed-by={_keyring(key)}" if key is not None else "trusted=yes"
    line = f'echo "deb [${{archs:+arch=$archs }}{option}] {place} $suite {COMPONENT}"'
    fields = [
        *("'Types: deb'", f"'URIs: {place}'", '"Suites: $suite"', f"'Components: {COMPONENT}'"),
        '${archs:+"Architectures: $archs"}',
        f"'Signed-By: {_keyring(key)}'" if key is not None else "'Trusted: yes'",
    ]
    stanza = f"printf '%s\\n' {' '.join(fields)}"
    return (
        ClientSetup("apt", _OWN_SUITE, _script(repo, url, key, _Form("list", "sources", line, ","))),
        ClientSetup(
            "apt, as a deb822 file", _OWN_SUITE, _script(repo, url, key, _Form("sources", "list", stanza, " "))
        ),
    )


def _keyring(key: KeyPlace) -> str:
    return f"{_KEYRINGS}/{key.keyring}.gpg"


def _script(repo: Repo, url: str, key: KeyPlace | None, form: _Form) -> str:
    suites = [suite_of(version) for version in repo.distro_versions]
    lines = [
        # In a subshell, so that a paste into a terminal neither closes it nor goes on after a failure.
        "(",
        "set -e",
        'suite=$(. /etc/os-release && echo "$VERSION_CODENAME")',
        f"case '{' '.join(['', *suites, ''])}' in",
        '*" $suite "*) ;;',
        f"""*) echo "{repo.name} has no packages for this system's release '$suite'; """
        f"""it has: {", ".join(suites) or "none"}" >&2; exit 1 ;;""",
        "esac",
        f'has=$(curl -fsSL "{url}/{in_url(repo.directory)}/{suite_directory("$suite")}/Release"'
        " | sed -n 's/^Architectures: //p' | tr ' ' '\\n')",
        "archs=$({ dpkg --print-architecture; dpkg --print-foreign-architectures; }"
        f" | grep -Fx \"$has\" | paste -s -d '{form.separator}' -)",
    ]
    if key is not None:
        # Releases before Debian 12 and Ubuntu 22.04 do not have this directory.
        key_url = quoted(f"{url}/{key.binary}")
        lines += [f"sudo install -d -m 0755 {_KEYRINGS}", f"sudo curl -fsSL -o {_keyring(key)} {key_url}"]
    lines += [
        # Both at once would make apt warn that each index is configured twice.
        f"sudo rm -f {_PARTS}/{repo.name}.{form.other}",
        f"{form.command} | sudo tee {_PARTS}/{repo.name}.{form.ending}",
        "sudo apt-get update",
        ")",
    ]
    return "\n".join(lines)
