"""The numbers of the tags in the headers of an rpm, by rpm's names for them.

Source: rpm.org, "Tags"; rpmtag.h.
"""

NAME, VERSION, RELEASE, EPOCH, BUILD_TIME, ARCH = 1000, 1001, 1002, 1003, 1006, 1022
OS, SOURCE_RPM, SOURCE_PACKAGE = 1021, 1044, 1106
DIR_INDEXES, BASE_NAMES, DIR_NAMES = 1116, 1117, 1118
WHOLE_PATHS = 1027
"""What packages from before rpm 4 have instead of these three: rpm's RPMTAG_OLDFILENAMES."""

FORMER_DIR_INDEXES, FORMER_BASE_NAMES, FORMER_DIR_NAMES = 1119, 1120, 1121
"""The names in the payload, where files are to be installed in other places."""

FILE_SIZES, FILE_MODES, FILE_DEVICES, FILE_TIMES, FILE_FLAGS = 1028, 1030, 1033, 1034, 1037
FILE_USERS, FILE_GROUPS, FILE_INODES, FILE_LONG_SIZES = 1039, 1040, 1096, 5008
FILE_DIGESTS, FILE_TARGETS, FILE_COLORS, FILE_CAPABILITIES = 1035, 1036, 1140, 5010
FILE_SYSTEMS, FILE_DIGEST_ALGORITHM = 1095, 5011
"""The first has numbers of filesystems: with the inode, they say which files are links to each other."""

GHOST = 64
"""In FILE_FLAGS: the package owns the file, but does not hold it."""

PAYLOAD_FORMAT, PAYLOAD_COMPRESSION = 1124, 1125
PAYLOAD_SHA256, PAYLOAD_ALT, PAYLOAD_SHA512, PAYLOAD_SHA3_256 = 5092, 5097, 5121, 5123
"""Digests of the payload as it is packed, save the second, which is of the unpacked one.

Every rpm takes the first for a SHA-256, whatever tag 5093 says.
"""

SIGNATURE_DSA, SIGNATURE_RSA, SIGNATURE_OPENPGP = 267, 268, 278
"""In the signature header: signatures of the header, by DSA or EdDSA; by RSA; by any algorithm, in base64 (rpm 6)."""

SIGNATURE_RSA_OF_BOTH, SIGNATURE_DSA_OF_BOTH = 1002, 1005
"""In the signature header: signatures of header and payload together, by RSA; by DSA or EdDSA."""

SIGNATURES = frozenset(
    {259, 262, 263, SIGNATURE_DSA, SIGNATURE_RSA, SIGNATURE_OPENPGP, SIGNATURE_RSA_OF_BOTH, SIGNATURE_DSA_OF_BOTH, 1006}
)
"""In the signature header: every tag that holds an OpenPGP signature, of the header or of header and payload."""

SIGNATURE_SHA1, SIGNATURE_SHA256, SIGNATURE_SHA3_256, SIGNATURE_MD5 = 269, 273, 279, 1004
"""In the signature header: SHA-1, SHA-256 and SHA3-256 of the header; MD5 of header and payload together."""

SIGNATURE_SIZE, SIGNATURE_LONG_SIZE = 1000, 270
"""In the signature header: size of header and payload together, in bytes, as 32-bit and as 64-bit number."""
