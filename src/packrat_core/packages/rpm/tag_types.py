"""Checks the types of the tags in the header of an rpm: of a tag that it knows, rpm reads no value of another type.

1. A tag of numbers or of bytes has the type that rpm gives it; a tag of text has one of the three types of text.
2. A tag that rpm doesn't know may have any type: newer versions add tags.
3. The tags of signatures and of digests of the header stand in the signature header alone.

    check_tag_types([(1000, 6), (1009, 4)])

Source: rpm's rpmtag.h and header.c; rpm.org, "Tags". The tags are those of rpm 4.18.
"""

from collections.abc import Iterable, Mapping

from packrat_core.errors import Refused

_CHAR, _INT16, _INT32, _INT64, _STRING, _BINARY, _STRINGS, _I18N = 1, 3, 4, 5, 6, 7, 8, 9

# fmt: off
_INT32_TAGS = (
    1003, 1006, 1008, 1009, 1028, 1034, 1037, 1045, 1046, 1048, *range(1051, 1054), 1068, 1069, 1080, 1095, 1096,
    1106, 1112, 1114, 1116, 1119, *range(1127, 1130), 1134, 1140, 1141, *range(1143, 1146), 1158, 1161, 1195,
    5011, *range(5017, 5028), 5032, 5033, 5037, 5045, 5048, 5051, 5054, 5057, 5068, 5070, 5072, 5078, 5080, 5082,
    5084, 5085, 5091, 5093,
)
_TEXT_TAGS = (
    100, 266, *range(1000, 1003), 1004, 1005, 1007, 1010, 1011, *range(1014, 1017), *range(1018, 1028), 1035, 1036,
    1039, 1040, 1044, 1047, 1049, 1050, 1054, 1055, *range(1059, 1063), *range(1064, 1068), 1079, 1081, 1082,
    *range(1085, 1093), 1094, *range(1097, 1100), 1113, 1115, 1117, 1118, *range(1120, 1127), 1132, 1133, 1135,
    1142, *range(1147, 1158), 1159, 1160, 1196, *range(5000, 5003), *range(5005, 5008), 5010, *range(5012, 5017),
    5030, 5031, *range(5034, 5037), *range(5040, 5045), 5046, 5047, 5049, 5050, 5052, 5053, 5055, 5056,
    *range(5058, 5063), 5066, 5067, 5069, 5071, 5076, 5077, 5079, 5081, *range(5086, 5091), 5092,
    *range(5096, 5102),
)
# fmt: on
_OF_SIGNATURE_HEADER = frozenset({257, 259, 261, 262, 267, 268, 269, 270, 271, 273, 276, 277})
_TEXTS = frozenset({_STRING, _STRINGS, _I18N})

_TYPES: Mapping[int, frozenset[int]] = {
    1029: frozenset({_CHAR}),
    **dict.fromkeys((1030, 1033), frozenset({_INT16})),
    **dict.fromkeys(_INT32_TAGS, frozenset({_INT32})),
    **dict.fromkeys((5008, 5009), frozenset({_INT64})),
    **dict.fromkeys((1012, 1013, 1043, 1146), frozenset({_BINARY})),
    **dict.fromkeys(_TEXT_TAGS, _TEXTS),
}
"""Tag → the types that rpm reads under it."""


_WRONG = frozenset(
    (tag, kind)
    for tag in (*_TYPES, *_OF_SIGNATURE_HEADER)
    for kind in range(_CHAR, _I18N + 1)
    if kind not in _TYPES.get(tag, ())
)
"""Tags and types that rpm refuses: to look for these is the quickest, and each rpm is checked several times."""


def check_tag_types(pairs: Iterable[tuple[int, ...]]) -> None:
    """Check tags, each with its type, of a header that rpm hashes or signs whole.

    Raises:
        Refused: rpm can't read it.
    """
    wrong = _WRONG.intersection(pairs)
    if not wrong:
        return
    tag, kind = min(wrong)
    if tag in _OF_SIGNATURE_HEADER:
        raise Refused(f"its header is broken: tag {tag} belongs in the signature header, and rpm refuses it here")
    raise Refused(f"its header is broken: tag {tag} has type {kind}, with which rpm can't read it")
