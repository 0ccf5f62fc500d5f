"""The models of the API with their fields, actions and filters: what DESCRIBE answers and calls are checked against."""

from collections.abc import Mapping
from typing import Any

from packrat_core.packages.repository_types import REPOSITORY_TYPES
from packrat_server.api.description import API_VERSION, MULTI_URI_MAX, ROOT, Action, Field, Model, Parameter


def _text(name: str, length: int | None = None, mode: str = "RW", **more: Any) -> Field:
    required = more.pop("required", True)
    size = {} if length is None else {"length": length}
    return Field(Parameter(name, "String", {**size, **more}), mode, required)


def _model(name: str, path: str, mode: str = "RW", *, array: bool = False, required: bool = True) -> Field:
    more = {"uri": ROOT + path, **({"is_array": True} if array else {})}
    return Field(Parameter(name, "Model", more), mode, required)


def _moment(name: str, mode: str = "RO") -> Field:
    return Field(Parameter(name, "DateTime"), mode, required=False)


def _default(name: str, kind: str, value: Any, *, required: bool) -> Field:
    return Field(Parameter(name, kind, default=value), "RW", required)


_STAMPS = (_moment("created"), _moment("updated"))
_DISTROS = {"debian": "Debian", "rhel": "RHEL", "sles": "SLES", "none": "None"}
_KINDS = {kind: known.title for kind, known in REPOSITORY_TYPES.items()}
_ARCHES = {"x86_64": "x86_64", "i386": "i386", "arm64": "ARM64", "all": "All"}
_NOTHING = {"type": None}
_TAG = Parameter("tag", "Model", {"uri": ROOT + "Attrib/Tag"})
_UPLOAD = Parameter("file", "File", {"allowed_schemes": ["djfh"]})
_TYPE = Parameter("type", "String", optional=True)
# Every change takes a reason; the original server's take none.
REASON = Parameter("reason", "String", optional=True)


def _actions(*actions: Action) -> dict[str, Action]:
    return {action.name: action for action in actions}


def _optional(*names: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, "String", optional=True) for name in names)


_USER = Model(
    ROOT + "Auth/User",
    actions=_actions(
        Action(
            "login",
            {"type": "String"},
            True,
            (Parameter("username", "String"), Parameter("password", "String")),
        ),
        Action("logout", _NOTHING, True),
        Action("whoami", {"type": "String"}, True),
        Action(
            "change_password",
            _NOTHING,
            True,
            # The original server does not ask for the old one.
            (Parameter("password", "String"), Parameter("old_password", "String", optional=True)),
        ),
    ),
    not_allowed=("LIST", "GET", "UPDATE", "CREATE", "DELETE"),
)

_TAG_MODEL = Model(
    ROOT + "Attrib/Tag",
    (
        _text("name", 10, "RC"),
        _default("change_control_required", "Boolean", False, required=False),
        *_STAMPS,
        _model("required_list", "Attrib/Tag", array=True),
    ),
    _actions(Action("tagMap", {"type": "Map"}, True)),
)

_DISTRO_VERSION = Model(
    ROOT + "Attrib/DistroVersion",
    (
        _text("name", 20, "RC"),
        _text("distro", 20),
        _text("version", 10, required=False),
        _text("file_type", 20),
        _text("release_names", 100, required=False),
        *_STAMPS,
    ),
    constants={"distro": [list(pair) for pair in _DISTROS.items()]},
)

_PACKAGE = Model(
    ROOT + "Package/Package",
    (
        _text("name", 200, "RC"),
        _default("deprocated_count", "Integer", 10, required=True),
        _default("failed_count", "Integer", 5, required=True),
        *_STAMPS,
    ),
    not_allowed=("DELETE", "CALL"),
)

_FOUND = {"type": "Map"}
_LIMIT = Parameter("limit", "Integer", default=1000, optional=True)
_LOOKING = (
    Action("find", _FOUND, True, (*_optional("name", "package", "tag", "distroversion", "state"), _LIMIT)),
    Action("show", _FOUND, True, (Parameter("name", "String"),)),
    Action(
        "findPackages",
        _FOUND,
        True,
        (*_optional("name"), Parameter("exact", "Boolean", default=False, optional=True), _LIMIT),
    ),
    Action(
        "compare",
        _FOUND,
        True,
        (
            Parameter("first", "String"),
            Parameter("second", "String"),
            *_optional("package", "distroversion"),
            _LIMIT,
        ),
    ),
)
"""Additions to the original API (look_actions.py)."""

_FILE_URI = ROOT + "Package/PackageFile"
_PACKAGE_FILE = Model(
    ROOT + "Package/PackageFile",
    (
        _model("package", "Package/Package", "RO"),
        _model("distroversion", "Attrib/DistroVersion", "RO"),
        _text("version", 50, "RO"),
        _text("type", 20, "RO"),
        _text("arch", 6, "RO", choices=list(_ARCHES)),
        _text("justification"),
        _text("provenance"),
        Field(Parameter("file", "File", {"allowed_schemes": []}), "RO"),
        _text("sha256", 64, "RO"),
        _moment("failed_at", "RW"),
        _text("failed_by", 40, required=False),
        _moment("deprocated_at", "RW"),
        _text("deprocated_by", 40, required=False),
        _text("created_by", 40),
        *_STAMPS,
        _model("tag_list", "Package/PackageFileTag", "RO", array=True),
        _text("tags", mode="RO", is_array=True, required=False),
        _model("raw_tag_list", "Attrib/Tag", "RO", array=True, required=False),
    ),
    _actions(
        Action("tag", _NOTHING, False, (_TAG, Parameter("change_control_id", "String", optional=True), REASON)),
        Action("deprocate", _NOTHING, False, (REASON,)),
        Action("fail", _NOTHING, False, (REASON,)),
        Action("distroversionOptions", {"type": "String", "is_array": True}, True, (_UPLOAD, _TYPE)),
        Action(
            "create",
            {"type": "Model", "uri": ROOT + "Package/PackageFile"},
            True,
            (
                _UPLOAD,
                Parameter("justification", "String"),
                Parameter("provenance", "String"),
                Parameter("distroversion", "String"),
                _TYPE,
                REASON,
            ),
        ),
        Action("filenameInUse", {"type": "Boolean"}, True, (Parameter("file_name", "String"),)),
        Action("untag", _NOTHING, False, (_TAG, REASON)),
        Action("unfail", _NOTHING, False, (REASON,)),
        Action("undeprocate", _NOTHING, False, (REASON,)),
        Action("where", {"type": "Map", "is_array": True}, True, (Parameter("file_name", "String"),)),
        Action(
            "history",
            {"type": "Map", "is_array": True},
            True,
            (
                Parameter("package", "String", optional=True),
                Parameter("file_name", "String", optional=True),
                Parameter("file", "Model", {"uri": _FILE_URI}, optional=True),
                Parameter("after", "Integer", default=0, optional=True),
                Parameter("count", "Integer", default=100, optional=True),
            ),
        ),
        *_LOOKING,
        # Answers with bytes (bundle.py); an addition to the original API, too.
        Action("bundle", {"type": "File"}, True, (Parameter("files", "Model", {"uri": _FILE_URI, "is_array": True}),)),
    ),
    not_allowed=("CREATE", "UPDATE"),
    filters={
        "package": (Parameter("package", "Model", {"uri": ROOT + "Package/Package"}),),
        "repo": (
            Parameter("repo", "Model", {"uri": ROOT + "Repo/Repo"}),
            Parameter("package_list", "String", {"is_array": True}),
        ),
        # The original server has only the two above.
        "file_name": (Parameter("file_name", "String"),),
        "kept": (
            Parameter("repo", "Model", {"uri": ROOT + "Repo/Repo"}),
            Parameter("package_list", "String", {"is_array": True}),
            Parameter("deprocated", "Boolean", default=False, optional=True),
        ),
    },
    constants={"arch": [list(pair) for pair in _ARCHES.items()]},
)

_PACKAGE_FILE_TAG = Model(
    ROOT + "Package/PackageFileTag",
    (
        _model("package_file", "Package/PackageFile"),
        _model("tag", "Attrib/Tag"),
        _text("by", 40),
        _moment("at"),
        _text("change_control_id", 50, required=False),
    ),
    not_allowed=("CREATE", "UPDATE", "DELETE", "CALL"),
)

_REPO = Model(
    ROOT + "Repo/Repo",
    (
        _text("name", 50, "RC"),
        _text("description", 200),
        _text("filesystem_dir", 50),
        _text("manager_type", 6, choices=list(_KINDS)),
        _model("tag", "Attrib/Tag"),
        _default("show_only_latest", "Boolean", True, required=False),
        *_STAMPS,
        _model("distroversion_list", "Attrib/DistroVersion", array=True),
    ),
    _actions(Action("poll", {"type": "String", "is_array": True}, False, (Parameter("timeout", "Integer"),))),
    constants={"manager_type": [list(pair) for pair in _KINDS.items()]},
)

_MIRROR = Model(
    ROOT + "Repo/Mirror",
    (
        _text("name", 50, "RC"),
        _text("description", 200),
        _moment("last_heartbeat"),
        *_STAMPS,
        _model("repo_list", "Repo/Repo", array=True),
    ),
    _actions(
        Action("heartbeat", _NOTHING),
        # The original server has neither this nor the next one.
        Action("report", _NOTHING, False, (Parameter("published", "Map", {"is_array": True}),)),
        Action(
            "changes",
            {"type": "Map"},
            False,
            (
                Parameter("position", "String"),
                Parameter("timeout", "Integer"),
                Parameter("records", "Boolean", default=False, optional=True),
                Parameter("stream", "Boolean", default=False, optional=True),
                Parameter("touched", "Boolean", default=False, optional=True),
            ),
        ),
    ),
)

MODELS: Mapping[str, Model] = {
    model.path: model
    for model in (
        _USER,
        _TAG_MODEL,
        _DISTRO_VERSION,
        _PACKAGE,
        _PACKAGE_FILE,
        _PACKAGE_FILE_TAG,
        _REPO,
        _MIRROR,
    )
}


def describe_namespace(path: str) -> dict[str, Any] | None:
    """Return the answer of DESCRIBE for a namespace; None where there is no such namespace."""
    names = list(dict.fromkeys(model.path.rpartition("/")[0] + "/" for model in MODELS.values()))
    if path != ROOT and path not in names:
        return None
    return {
        "name": "root" if path == ROOT else path[len(ROOT) : -1],
        "path": path,
        "api-version": API_VERSION,
        "multi-uri-max": MULTI_URI_MAX,
        "namespaces": names if path == ROOT else [],
        "models": [model for model in MODELS if path != ROOT and model.startswith(path)],
    }
