"""What there is to set: the settings' structs as a flat list, and how people write a setting and its value."""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Struct

from heliograph.carriers.settings import CarrierSettings, SimulatorSettings, SmppSettings
from heliograph.config.settings import MAX_PRICE, Settings

PREFIX = "HELIOGRAPH_"
REQUIRED = "(required)"  # stands for the default of a setting that has none
HIDDEN = "(hidden)"  # stands for a secret
CARRIER_KINDS: dict[str, type[CarrierSettings]] = {
    kind.__struct_config__.tag: kind for kind in get_args(CarrierSettings)
}
KIND = "What the carrier is: simulator, which only plays one, or smpp."

Where = tuple[str, ...]
"""Where a setting is: section and key, with the name of the table's entry between them for carriers and prices."""


class Setting(Struct, frozen=True):
    """One setting as the reference has it; of carriers and price lists, that of the default one."""

    path: Where
    description: str
    default: Any
    bounds: str = ""  # as people write them; "" where there are none

    @property
    def name(self) -> str:
        """Dotted, as people write it."""
        return dotted(self.path)

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + "__".join(self.path).upper()


SECTIONS: dict[str, type[Struct]] = {
    name: kind for name, kind in get_type_hints(Settings).items() if isinstance(kind, type) and issubclass(kind, Struct)
}


def reference() -> list[Setting]:
    """Every setting, in the order of the structs."""
    found: list[Setting] = []
    for section in Settings.__struct_fields__:
        if section in SECTIONS:
            found += _fields((section,), SECTIONS[section])
        elif section == "carriers":
            found.append(Setting((section, "simulator", "kind"), KIND, "simulator"))
            found += _fields((section, "simulator"), SimulatorSettings)
        else:
            price = 'The price of a segment to numbers with this prefix ("" for all others), a decimal string.'
            found.append(Setting((section, "default", ""), price, "1.00", f"0 to {MAX_PRICE}"))
    return found


def smpp_reference() -> list[Setting]:
    """Every setting of a carrier over SMPP, of which there is none by default: `NAME` stands for its name."""
    return [Setting(("carriers", "NAME", "kind"), KIND, "smpp"), *_fields(("carriers", "NAME"), SmppSettings)]


def values(settings: Settings) -> dict[Where, Any]:
    """The settings, flat."""
    flat: dict[Where, Any] = {}

    def walk(path: Where, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk((*path, key), inner)
        else:
            flat[path] = value

    walk((), msgspec.to_builtins(settings))
    return flat


def dotted(path: Where) -> str:
    """A path as people write it; what TOML would not read bare is in quotes."""
    return ".".join(part if part.replace("-", "").replace("_", "").isalnum() else json.dumps(part) for part in path)


def toml(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)


def shown(path: Where, value: Any) -> Any:
    """A value for eyes other than the program's: no password that is set."""
    return HIDDEN if "pass" in path[-1] and value and isinstance(value, str) else value


def _fields(path: Where, kind: type[Struct]) -> list[Setting]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        Setting(
            (*path, one.name), hints[one.name].__metadata__[-1].description, _default(one), _bounds(hints[one.name])
        )
        for one in msgspec.structs.fields(kind)
    ]


def _default(one: msgspec.structs.FieldInfo) -> Any:
    if one.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(one.default_factory())
    return REQUIRED if one.default is msgspec.NODEFAULT else msgspec.to_builtins(one.default)


def _bounds(hint: Any) -> str:
    """How large a number may be, and how long a text or the name of a file."""
    meta = next(iter(hint.__metadata__))
    if meta.le is not None:
        return f"{meta.ge} to {meta.le}" if meta.ge is not None else f"more than {meta.gt}, at most {meta.le}"
    return f"up to {meta.max_length} characters" if meta.max_length is not None else ""
