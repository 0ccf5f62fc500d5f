"""The architectures of rpms, what the packrat server calls them, and the directories of a yum repository.

The server's API has names of its own for a few, and one for all 32-bit processors of PCs; all others are called as in
the package:

    server_name("aarch64"), server_name("i686")  # ("arm64", "i386")
    server_name("x86_64_v2")  # "x86_64_v2"
    directory("arm64")  # "aarch64"

Source: rpm's table of architectures (rpmrc).
"""

_PCS = frozenset(["i386", "i486", "i586", "i686", "athlon", "geode", "pentium3", "pentium4"])
_SERVER_NAMES = {"aarch64": "arm64", "noarch": "all", **dict.fromkeys(_PCS, "i386")}
_DIRECTORIES = {"arm64": "aarch64", "all": "noarch"}

_OTHERS = (
    "x86_64 x86_64_v2 x86_64_v3 x86_64_v4 amd64 em64t ia32e noarch aarch64 armv3l armv4b armv4l armv5tl armv5tel "
    "armv5tejl armv6l armv6hl armv7l armv7hl armv7hnl armv8l armv8hl riscv riscv64 loongarch64 ia64 "
    "ppc ppc8260 ppc8560 ppc32dy4 ppciseries ppcpseries ppc64 ppc64le ppc64p7 ppc64iseries ppc64pseries rs6000 "
    "s390 s390x i370 sparc sparcv8 sparcv9 sparcv9v sparc64 sparc64v sun4 sun4c sun4d sun4m sun4u "
    "mips mipsel mips64 mips64el mipsr6 mipsr6el mips64r6 mips64r6el alpha alphaev5 alphaev56 alphapca56 alphaev6 "
    "alphaev67 m68k m68kmint atarist atariste ataritt falcon atariclone milan hades sh sh3 sh4 sh4a xtensa"
)
_KNOWN = _PCS.union(_OTHERS.split())


def is_known(arch: str) -> bool:
    """Return whether rpm knows an architecture."""
    return arch in _KNOWN


def server_name(arch: str) -> str:
    """Return what the server calls an architecture."""
    return _SERVER_NAMES.get(arch, arch)


def directory(server_arch: str) -> str:
    """Return the directory of the packages whose architecture the server calls so."""
    return _DIRECTORIES.get(server_arch, server_arch)
