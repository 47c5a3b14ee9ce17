"""What there is to set: the settings' structs as a flat list, and how people write a setting and its value."""

from __future__ import annotations

import json
from typing import Any, get_type_hints

import msgspec
from msgspec import Meta, Struct

from heliograph.config.settings import MAX_PRICE, CarrierSettings, Settings

PREFIX = "HELIOGRAPH_"

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
            found += _fields((section, "simulator"), CarrierSettings)
        else:
            price = 'The price of a segment to numbers with this prefix ("" for all others), a decimal string.'
            found.append(Setting((section, "default", ""), price, "1.00", f"0 to {MAX_PRICE}"))
    return found


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
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _fields(path: Where, kind: type[Struct]) -> list[Setting]:
    hints = get_type_hints(kind, include_extras=True)
    defaults = msgspec.to_builtins(kind())
    return [
        Setting(
            (*path, key), hints[key].__metadata__[-1].description, defaults[key], _bounds(hints[key].__metadata__[0])
        )
        for key in defaults
    ]


def _bounds(meta: Meta) -> str:
    if meta.le is None:
        return ""
    return f"{meta.ge} to {meta.le}" if meta.ge is not None else f"more than {meta.gt}, at most {meta.le}"
