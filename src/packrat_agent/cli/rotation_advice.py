"""Tells what operators and clients have to do in each phase of a rotation; docs/signing.md does so at length."""

from dataclasses import asdict, dataclass
from pathlib import Path

from packrat_agent.cli.next_step import command_line
from packrat_agent.config.rotation_phase import Phase
from packrat_agent.model.key_places import MAIN_KEY, own_key_place

RELOAD = "`systemctl reload packrat-agent`, or `packrat-agent sync` where no agent runs"

_HOW_TO_BEGIN = """\
to replace the key:
  1. {key} new --name NAME
  2. {rotate} --begin KEY
  3. {key} backup FILE"""

_OFFERED = """\
Give every client the new key now; {armored} and {binary} hold both keys. Nothing breaks in the meantime.
  apt       curl -fsSL -o /etc/apt/keyrings/{keyring}.gpg URL/{binary}
  dnf, yum  rpm --import URL/{armored}; rm -rf /var/cache/dnf/*/pubring; dnf -y makecache --refresh
  zypper    rpm --import URL/{armored}
  images    fetch policy.json again: it accepts both keys
  files     fetch {binary} again
When all clients have it, usually after a week or more: {rotate} --switch"""

_SWITCHED = """\
The new key signs. apt and images go on with either key; dnf, yum, zypper and gpgv need the new one from now on.
  dnf, yum  with -y they fetch the key themselves; a timer without -y needs `dnf -y makecache --refresh` once
  zypper    without the new key: rpm --import URL/{armored}
Packages that the former key has signed stay as they are.
When no client is left with the former key alone: {rotate} --finish"""

_RETIRED = """\
The former key no longer signs; its secret part may leave this machine. {binary} holds the new key alone.
  apt       fetch {binary} once more, so that the former key is trusted no longer
  images    fetch policy.json once more
  dnf, yum, zypper  keep the former key: packages that it has signed are still published, and {armored} holds it
When such packages are gone: {rotate} --forget"""

_ENDED = """\
The former key no longer signs, and no package needs it: its secret part may leave this machine.
  apt       fetch {binary} once more, so that the former key is trusted no longer
  images    fetch policy.json once more
  dnf, yum, zypper  may forget it: rpm -e gpg-pubkey-…"""

_WHAT_NEXT = {Phase.OFFERED: _OFFERED, Phase.SWITCHED: _SWITCHED, Phase.RETIRED: _RETIRED}

_WITHOUT_OVERLAP = """\
Without an overlap, this breaks all clients until they have the new key:
  apt       NO_PUBKEY until {binary} is fetched again
  dnf, yum  with -y they fetch the new key themselves; without it they refuse the repository
  zypper    refuses the repository until `rpm --import URL/{armored}`
  images    refused until policy.json is fetched again
  files     gpgv fails until {binary} is fetched again
Every package is downloaded from the packrat server again and signed again, with other bytes under the same names.
Then take the stolen key away from clients: `rpm -e gpg-pubkey-…`, the files in /etc/apt/keyrings, and publish its
revocation certificate where they look for one."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The advice on the key of one section of mirror.conf, with its own commands, and the files of that key.

    Attributes:
        section: `mirror`, `tag prod` or `repo apt-prod`.
        config_path: mirror.conf.
    """

    section: str
    config_path: Path

    def how_to_begin(self) -> str:
        """Say how a rotation begins."""
        return self._fill(_HOW_TO_BEGIN)

    def what_next(self, phase: Phase) -> str:
        """Say what comes next in a phase."""
        return self._fill(_WHAT_NEXT[phase]) + self._names()

    def ended(self) -> str:
        """Say what is left to do after the last phase."""
        return self._fill(_ENDED) + self._names()

    def without_overlap(self) -> str:
        """Say what breaks where there are no phases."""
        return self._fill(_WITHOUT_OVERLAP) + self._names()

    def rotate(self, *options: str) -> str:
        """Write the command for a step."""
        section = [] if self.section == "mirror" else ["--section", self.section]
        return command_line(self.config_path, "key", "rotate", *section, *options)

    def _fill(self, text: str) -> str:
        kind, _, name = self.section.partition(" ")
        own = own_key_place(name if kind == "repo" else "NAME")
        place = MAIN_KEY if self.section == "mirror" else own
        key, rotate = (command.strip("`") for command in (command_line(self.config_path, "key"), self.rotate()))
        return text.format(key=key, rotate=rotate, **asdict(place))

    def _names(self) -> str:
        return f"\nNAME is each repository that [{self.section}] signs." if self.section.startswith("tag ") else ""
