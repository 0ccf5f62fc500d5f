#!/bin/bash
# Installs the programs that the tests need, where they are missing, and downloads real packages to test with.
# With arguments: only the programs named.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A package_of=(
  [gpg]=gnupg [gpgv]=gpgv [gpgconf]=gpgconf [apt-get]=apt [apt-ftparchive]=apt-utils [dpkg-deb]=dpkg
  [xz]=xz-utils [bzip2]=bzip2 [zstd]=zstd
  [aptly]=aptly [reprepro]=reprepro [apt-mirror]=apt-mirror
  [nginx]=nginx-light [apache2]=apache2-bin [curl]=curl [openssl]=openssl
  [skopeo]=skopeo [podman]=podman [containerd]=containerd [systemd-analyze]=systemd [lintian]=lintian
  [debootstrap]=debootstrap [unshare]=util-linux [jq]=jq
  [gcc]="gcc libc6-dev" [faketime]=faketime [initdb]=postgresql [pgbouncer]=pgbouncer
  [tinyproxy]=tinyproxy-bin
  [squid]=squid [haproxy]=haproxy [aria2c]=aria2
  [chromium]=chromium
  [dnf]=dnf [zypper]=zypper [createrepo_c]=createrepo-c [rpmsign]=rpm [rpmkeys]=rpm
)
wanted=("$@")
if [ ${#wanted[@]} -eq 0 ]; then
  wanted=(gpg gpgv gpgconf apt-get apt-ftparchive dpkg-deb xz bzip2 zstd aptly reprepro apt-mirror nginx apache2
    curl openssl skopeo podman containerd systemd-analyze dnf zypper createrepo_c rpmsign rpmkeys gcc faketime initdb
    debootstrap pgbouncer unshare jq tinyproxy squid haproxy aria2c dumb-pypi chromium)
fi

# Tells whether an environment is there and up to date. Its programs name their Python by its path: where the clone was
# moved since, that path is gone.
is_ready() { # directory, pinned requirements …
  local directory=$1 file
  shift
  [ -e "$directory/made" ] && [ -x "$(sed -n '1s/^#!//p' "$directory/bin/pip")" ] || return 1
  for file in "$@"; do [ ! "$file" -nt "$directory/made" ] || return 1; done
}

# dumb-pypi comes from PyPI, into a directory of its own.
bench=.cache/bench
for at in "${!wanted[@]}"; do
  [ "${wanted[$at]}" = dumb-pypi ] || continue
  unset "wanted[$at]"
  if ! is_ready $bench requirements/bench.txt; then
    python=.venv/bin/python
    [ -x $python ] || python=python3
    echo "installing dumb-pypi into $bench ..."
    $python -m venv --clear $bench
    $bench/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/bench.txt
    touch $bench/made
  fi
done

PATH=$PATH:/usr/sbin:/sbin
# Debian keeps these out of everybody's way, a directory a version.
for directory in /usr/lib/postgresql/*/bin; do PATH=$PATH:$directory; done
packages=()
for program in "${wanted[@]}"; do
  command -v "$program" >/dev/null && continue
  read -ra more <<<"${package_of[$program]}"
  packages+=("${more[@]}")
done

if [ ${#packages[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "the tests need more programs; as root: apt-get install ${packages[*]}" >&2
    exit 1
  fi
  echo "installing ${packages[*]} ..."
  # Nothing is to be started here: the tests start what they need, on ports of their own.
  policy=/usr/sbin/policy-rc.d
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' > $policy && chmod +x $policy && trap 'rm -f $policy' EXIT; }
  apt-get -q -o Acquire::Retries=3 update >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${packages[@]}" >/dev/null
fi

[ $# -eq 0 ] || exit 0

# pip, uv and poetry, apart from what the project itself runs with.
clients=.cache/clients
if ! is_ready $clients requirements/clients.txt; then
  python=.venv/bin/python
  [ -x $python ] || python=python3
  echo "installing pip, uv and poetry into $clients ..."
  $python -m venv --clear $clients
  $clients/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/clients.txt
  touch $clients/made
fi

# The client library of the original's authors, a release for each version of the protocol. Its set-up imports what it
# needs, so it can't be built apart from that.
peers=.cache/cinp
pinned=(requirements/peers.txt requirements/cinp-*.txt)
if ! is_ready $peers "${pinned[@]}"; then
  python=.venv/bin/python
  [ -x $python ] || python=python3
  echo "installing the client libraries of CInP into $peers ..."
  $python -m venv --clear $peers
  pip=("$peers/bin/pip" install -q --disable-pip-version-check --require-hashes)
  "${pip[@]}" -r requirements/peers.txt
  for file in requirements/cinp-*.txt; do
    "${pip[@]}" --no-deps --no-build-isolation --target "$peers/$(basename "$file" .txt)" -r "$file"
  done
  touch $peers/made
fi

# What looks for barriers in pages; only the script of the package is used, so that what drives a browser isn't needed.
axe=.cache/axe
if [ ! -e $axe/made ] || [ requirements/axe.txt -nt $axe/made ]; then
  python=.venv/bin/python
  [ -x $python ] || python=python3
  rm -rf $axe
  $python -m pip install -q --disable-pip-version-check --require-hashes --no-deps --target $axe -r requirements/axe.txt
  touch $axe/made
fi

# dnf's reposync. The package can't be installed: it breaks zypper.
plugins=.cache/dnf-plugins
if [ ! -e $plugins/usr/lib/python3/dist-packages/dnf-plugins/reposync.py ]; then
  mkdir -p $plugins
  apt-cache show dnf-plugins-core >/dev/null 2>&1 || apt-get -q -o Acquire::Retries=3 update >/dev/null
  (cd $plugins && apt-get -q -o Acquire::Retries=3 -o APT::Sandbox::User=root download dnf-plugins-core >/dev/null)
  dpkg -x $plugins/dnf-plugins-core_*.deb $plugins
fi

# The pip that Debian gives to virtual environments.
debians_pip=.cache/debians-pip
if ! compgen -G "$debians_pip/usr/share/python-wheels/pip-*.whl" >/dev/null; then
  mkdir -p $debians_pip
  apt-cache show python3-pip-whl >/dev/null 2>&1 || apt-get -q -o Acquire::Retries=3 update >/dev/null
  (cd $debians_pip && apt-get -q -o Acquire::Retries=3 -o APT::Sandbox::User=root download python3-pip-whl >/dev/null)
  dpkg -x $debians_pip/python3-pip-whl_*.deb $debians_pip
fi

# Real packages: epochs, tildes and pluses in versions and names, every usual architecture, odd sources.
real=(hello g++ libstdc++6 debian-archive-keyring hostname netbase tzdata bsdutils media-types sensible-utils
  libacl1 gcc-12-base vim-common lsb-base)
cache=.cache/debs
mkdir -p $cache
for name in "${real[@]}"; do
  compgen -G "$cache/${name}_*.deb" >/dev/null && continue
  if ! apt-cache show "$name" >/dev/null 2>&1; then
    if [ "$(id -u)" != 0 ]; then
      echo "apt knows no packages: run apt-get update as root" >&2
      exit 1
    fi
    apt-get -q -o Acquire::Retries=3 update >/dev/null
  fi
  (cd $cache && apt-get -q -o Acquire::Retries=3 -o APT::Sandbox::User=root download "$name" >/dev/null)
done

# Other releases of Debian, for their apt, dnf, zypper and rpm.
make_release() {
  local suite=$1 directory=.cache/$2 clients=$3
  [ ! -e "$directory/made" ] || return 0
  [ "$(id -u)" = 0 ] || { echo "only root can make a root of Debian $suite: its clients are left out" >&2; return 0; }
  echo "making a root of Debian $suite in $directory ..."
  rm -rf "$directory"
  mkdir -p "$directory"
  debootstrap --variant=minbase --include="$clients" "$suite" "$directory/root" http://deb.debian.org/debian \
    >"$directory/log" || { tail "$directory/log" >&2; exit 1; }
  rm -rf "$directory"/root/var/cache/apt/archives/*.deb
  touch "$directory/made"
}

make_release trixie debian-13 dnf,gpgv,rpm,zypper,ca-certificates
# What changes daily must not fail a test run: only `make test-sid` asks for it.
case " ${PACKRAT_MORE_RELEASES:-} " in
  *" debian-sid "*) make_release sid debian-sid dnf5,gpgv,rpm,zypper,ca-certificates ;;
esac

# A fresh Debian 12, to walk through the README in. What the README installs there is downloaded here, once.
fresh=.cache/debian-12
if [ ! -e $fresh/made ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "only root can make a fresh Debian: the walk through the README is left out" >&2
    exit 0
  fi
  echo "making a fresh Debian 12 in $fresh ..."
  rm -rf $fresh
  mkdir -p $fresh
  debootstrap --variant=minbase bookworm $fresh/root http://deb.debian.org/debian >$fresh/log ||
    { tail $fresh/log >&2; exit 1; }
  read -ra walked <<<"$(sed -n 's/^apt-get install \([a-z].*\)/\1/p' README.md | tr '\n' ' ')"
  chroot $fresh/root apt-get -q -y -o Acquire::Retries=3 --download-only install "${walked[@]}" \
    systemd-standalone-sysusers systemd-standalone-tmpfiles >/dev/null
  touch $fresh/made
fi

# The same with the clients and servers that the pages of docs/ use, to follow those pages in.
python=.venv/bin/python
[ -x $python ] || python=python3
PYTHONPATH=tests $python -m support.walk_root
