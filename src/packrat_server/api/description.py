"""The parts of the API's description: parameters, fields, actions and models, and what DESCRIBE answers for each.

Source: CInP 0.9, DESCRIBE.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ROOT = "/api/v2/"
API_VERSION = "2.0"
CINP_VERSION = "0.9"
MULTI_URI_MAX = 100

_VERBS = ("GET", "LIST", "CREATE", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field of a model or an argument of an action."""

    name: str
    type: str
    more: Mapping[str, Any] = field(default_factory=dict)
    default: Any = None
    optional: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the answer of DESCRIBE for an argument."""
        described = {"name": self.name, "type": self.type, **self.more}
        if self.optional:
            described["default"] = self.default
        return described


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a model; mode is RO, RC (settable at CREATE) or RW."""

    parameter: Parameter
    mode: str
    required: bool = True

    def describe(self) -> dict[str, Any]:
        """Return the answer of DESCRIBE for a field."""
        described = {"name": self.parameter.name, "type": self.parameter.type, **self.parameter.more}
        default = [] if self.parameter.more.get("is_array") else self.parameter.default
        return {**described, "default": default, "mode": self.mode, "required": self.required}


@dataclass(frozen=True, slots=True)
class Action:
    """An action that can be CALLed on a model (static) or on its objects."""

    name: str
    returns: Mapping[str, Any]
    static: bool = False
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """One model: its fields, actions, list filters, and the verbs that it takes."""

    path: str
    fields: tuple[Field, ...] = ()
    actions: Mapping[str, Action] = field(default_factory=dict)
    not_allowed: tuple[str, ...] = ("CREATE", "DELETE", "UPDATE")
    filters: Mapping[str, tuple[Parameter, ...]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    def describe(self) -> dict[str, Any]:
        """Return the answer of DESCRIBE for the model."""
        return {
            "name": self.name,
            "path": self.path,
            "constants": dict(self.constants),
            "fields": [field_.describe() for field_ in self.fields],
            "actions": [f"{self.path}({name})" for name in self.actions],
            "not-allowed-methods": list(self.not_allowed),
            "list-filters": {
                name: [parameter.describe() for parameter in parameters] for name, parameters in self.filters.items()
            },
        }

    def describe_action(self, action: Action) -> dict[str, Any]:
        """Return the answer of DESCRIBE for one of its actions."""
        return {
            "name": action.name,
            "path": f"{self.path}({action.name})",
            "return-type": dict(action.returns),
            "static": action.static,
            "paramaters": [parameter.describe() for parameter in action.parameters],
        }

    def verbs(self) -> list[str]:
        """List the verbs that OPTIONS answers."""
        return ["OPTIONS", "DESCRIBE", *(verb for verb in _VERBS if verb not in self.not_allowed)]


def uri(model: str, object_id: object) -> str:
    """Write the URI of an object; model: `Repo/Repo`."""
    return f"{ROOT}{model}:{object_id}:"
