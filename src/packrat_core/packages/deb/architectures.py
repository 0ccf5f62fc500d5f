"""The architectures of Debian packages, and what the packrat server calls them.

A name is that of a processor, alone or behind that of an operating system: `riscv64`, `hurd-amd64`. The server's API
has a name of its own for one; all others are called as in the package:

    server_name("amd64")  # "x86_64"
    server_name("armhf")  # "armhf"
    is_known("armv8")  # False

Source: dpkg's tables of processors and operating systems.
"""

ALL = "all"
LENGTH_LIMIT = 20
"""Characters that the server stores; only combinations that nobody builds for are longer."""

_SERVER_NAMES = {"amd64": "x86_64"}

_CPUS = (
    "alpha amd64 arc arm arm64 armeb avr32 hppa i386 ia64 loong64 m32r m68k mips mips64 mips64el mips64r6 mips64r6el "
    "mipsel mipsr6 mipsr6el nios2 or1k powerpc powerpcel ppc64 ppc64el riscv64 s390 s390x sh3 sh3eb sh4 sh4eb sparc "
    "sparc64 tilegx"
)
_SYSTEMS = (
    "aix darwin dragonflybsd freebsd hurd kfreebsd knetbsd kopensolaris musl-linux netbsd openbsd solaris uclibc-linux "
    "uclinux"
)
_OTHERS = (
    "armhf armel arm64ilp32 mipsn32 mipsn32el mipsn32r6 mipsn32r6el powerpcspe x32 kfreebsd-armhf mint-m68k "
    "musl-linux-armhf uclibc-linux-armel uclinux-armel"
)
"""Names that have the calling convention in them."""
_PLAIN = frozenset([ALL, *_CPUS.split(), *_OTHERS.split()])
_COMBINED = frozenset(f"{system}-{cpu}" for system in _SYSTEMS.split() for cpu in _CPUS.split())


def is_known(arch: str) -> bool:
    """Return whether dpkg knows an architecture."""
    return len(arch) <= LENGTH_LIMIT and (arch in _PLAIN or arch in _COMBINED)


def server_name(arch: str) -> str:
    """Return what the server calls an architecture."""
    return _SERVER_NAMES.get(arch, arch)
