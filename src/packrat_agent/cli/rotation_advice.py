"""What operators and clients have to do in each phase of a rotation; docs/signing.md says the same at length."""

from packrat_agent.config.rotation_phase import Phase

RELOAD = "`systemctl reload packrat-agent`, or `packrat-agent sync` where no agent runs"

HOW_TO_BEGIN = """\
to replace the key:
  1. packrat-agent key new --name NAME
  2. packrat-agent key rotate --begin KEY
  3. packrat-agent key backup FILE"""

_OFFERED = """\
Give every client the new key now; repo-key and repo-key.gpg hold both keys. Nothing breaks in the meantime.
  apt       curl -fsSL -o /etc/apt/keyrings/packrat-mirror.gpg URL/repo-key.gpg
  dnf, yum  rpm --import URL/repo-key; rm -rf /var/cache/dnf/*/pubring; dnf -y makecache --refresh
  zypper    rpm --import URL/repo-key
  images    fetch policy.json again: it accepts both keys
  files     fetch repo-key.gpg again
When all clients have it, usually after a week or more: packrat-agent key rotate --switch"""

_SWITCHED = """\
The new key signs. apt and images go on with either key; dnf, yum, zypper and gpgv need the new one from now on.
  dnf, yum  with -y they fetch the key themselves; a timer without -y needs `dnf -y makecache --refresh` once
  zypper    without the new key: rpm --import URL/repo-key
Packages that the former key has signed stay as they are.
When no client is left with the former key alone: packrat-agent key rotate --finish"""

_RETIRED = """\
The former key signs no more; its secret part may leave this machine. repo-key.gpg holds the new key alone.
  apt       fetch repo-key.gpg once more, so that the former key is trusted no longer
  images    fetch policy.json once more
  dnf, yum, zypper  keep the former key: packages that it has signed are still published, and repo-key holds it
When such packages are gone: packrat-agent key rotate --forget"""

ENDED = """\
The former key signs no more, and no package needs it: its secret part may leave this machine.
  apt       fetch repo-key.gpg once more, so that the former key is trusted no longer
  images    fetch policy.json once more
  dnf, yum, zypper  may forget it: rpm -e gpg-pubkey-…"""

WHAT_NEXT = {Phase.OFFERED: _OFFERED, Phase.SWITCHED: _SWITCHED, Phase.RETIRED: _RETIRED}

WITHOUT_OVERLAP = """\
Without an overlap, this breaks all clients until they have the new key:
  apt       NO_PUBKEY until repo-key.gpg is fetched again
  dnf, yum  with -y they fetch the new key themselves; without it they refuse the repository
  zypper    refuses the repository until `rpm --import URL/repo-key`
  images    refused until policy.json is fetched again
  files     gpgv fails until repo-key.gpg is fetched again
Every package is downloaded from the packrat server again and signed again, with other bytes under the same names.
Then take the stolen key away from clients: `rpm -e gpg-pubkey-…`, the files in /etc/apt/keyrings, and publish its
revocation certificate where they look for one."""
