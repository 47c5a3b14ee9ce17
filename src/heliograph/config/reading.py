"""From a TOML file under environment variables to settings, with all that is wrong told at once.

`HELIOGRAPH_<SECTION>__<KEY>` goes before the file, e.g. `HELIOGRAPH_HTTP__PORT=9000`; lists are comma-separated, and
a table's table takes another `__`: `HELIOGRAPH_CARRIERS__SIMULATOR__WINDOW=50`. What is not a setting is refused. Paths
are relative to the working directory.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from heliograph.carriers.settings import SmppSettings
from heliograph.config.catalogue import (
    CARRIER_KINDS,
    PREFIX,
    REQUIRED,
    SECTIONS,
    Setting,
    Where,
    dotted,
    reference,
    shown,
    smpp_reference,
    toml,
    values,
)
from heliograph.config.consistency import inconsistent
from heliograph.config.settings import Settings
from heliograph.messaging.retry import SubmitClass

DATA_VARIABLE = "HELIOGRAPH_DATA"  # what the commands read; the same as HELIOGRAPH_DATA__DIR

# Read by commands and tests, not settings.
_OTHERS = (
    "CONFIG",
    "COMMAND",
    "WEBHOOK_SECRET",
    "CARRIER_PASSWORD",
    "SMSC_PASSWORD",
    "TEST_SEED",
    "SIM_SEED",
    "SIM_SEEDS",
)
# What Kubernetes tells of services named heliograph and heliograph-….
_KUBERNETES = re.compile(r"(.+_)?(SERVICE_(HOST|PORT(_.+)?)|PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR))")


class Effective(Struct, frozen=True):
    """Settings, and where each that is not a default came from, by dotted name."""

    settings: Settings
    origins: dict[str, str]


class ConfigError(Exception):
    """The settings are not usable; `problems` has a line for each reason, with the remedy."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class _Given(Struct, frozen=True):
    """A value as it was given: `where` names the file or variable, `text` says that it is a string for any type."""

    where: str
    value: Any
    text: bool = False


def load(path: Path | None, env: Mapping[str, str]) -> Settings:
    """The settings of a file (None for none) and an environment. Raises `ConfigError`."""
    return read(path, env).settings


def read(
    path: Path | None,
    env: Mapping[str, str],
    *,
    preset: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Effective:
    """Settings with their origins. Raises `ConfigError`.

    `preset` replaces defaults and `given`, from the command line, goes before everything; both by dotted name.
    """
    of_file = dict(_of_file(path)) if path else {}
    tables = {at[0] for at in of_file}
    defaults = values(Settings())
    entries = {at: _Given("", defaults[at]) for at in defaults if at[0] not in tables and at[0] not in SECTIONS}
    entries |= {tuple(name.split(".")): _Given("preset", value) for name, value in (preset or {}).items()}
    entries |= of_file
    problems: list[str] = []
    entries |= _of_environment(env, problems)
    entries |= {tuple(name.split(".")): _Given("command line", value) for name, value in (given or {}).items()}
    kinds = _kinds(entries)
    tree: dict[str, Any] = {}
    for at, entry in entries.items():
        if entry.where or at[0] != "carriers" or kinds[at[1]] == defaults.get((*at[:2], "kind")):
            _enter(tree, at, entry, kinds, problems)  # but for defaults of another kind of carrier
    problems += _incomplete(tree.get("carriers", {}), kinds)
    if problems:
        raise ConfigError(problems)
    settings = msgspec.convert(tree, Settings)
    variables = {dotted(at): entry.where for at, entry in entries.items() if entry.text}
    problems = [f"{path or 'settings'}: {problem}" for problem in inconsistent(settings, variables)]
    if problems:
        raise ConfigError(problems)
    return Effective(settings, {dotted(at): entry.where for at, entry in entries.items() if entry.where})


def _of_file(path: Path) -> Iterator[tuple[Where, _Given]]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = "`heliograph config init` writes one"
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); {remedy}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from error
    for section, value in tree.items():
        for at, leaf in _leaves((section,), value):
            yield at, _Given(str(path), leaf)


def _leaves(path: Where, value: Any) -> Iterator[tuple[Where, Any]]:
    """The values below a path. An empty table is one too, unless it is a section that has a struct."""
    if not isinstance(value, dict) or (not value and path[0] not in SECTIONS):
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves((*path, key), inner)


def _of_environment(env: Mapping[str, str], problems: list[str]) -> dict[Where, _Given]:
    found: dict[Where, _Given] = {}
    if folder := env.get(DATA_VARIABLE):
        found["data", "dir"] = _Given(DATA_VARIABLE, folder, text=True)
    for variable in sorted(env):
        value = env[variable]
        if variable.startswith(PREFIX) and "__" in variable:
            found[tuple(variable.removeprefix(PREFIX).lower().split("__"))] = _Given(variable, value, text=True)
        elif variable.startswith(PREFIX):
            problems += _unknown(variable, value)
    return found


def _unknown(variable: str, value: str) -> Iterator[str]:
    """What is wrong with a variable that is not written like a setting: nothing, if somebody reads it."""
    others = [DATA_VARIABLE, *(PREFIX + name for name in _OTHERS)]
    of_kubernetes = _KUBERNETES.fullmatch(variable.removeprefix(PREFIX)) or re.match("(tcp|udp|sctp)://", value)
    if variable in others or of_kubernetes:
        return
    settings = reference()
    mistaken = {PREFIX + "_".join(setting.path).upper(): setting.variable for setting in settings}
    if variable in mistaken:
        yield f"{variable} is not a setting; it is written with two underscores: {mistaken[variable]}"
        return
    near = difflib.get_close_matches(variable, [*others[:6], *(setting.variable for setting in settings)], 1, 0.0)
    yield f"{variable} is read by nobody; did you mean {near[0]}? If it is another program's, rename it"


def _kinds(entries: Mapping[Where, _Given]) -> dict[str, str]:
    """What kind each carrier is, a simulator unless it is said; one that there is not is left to `_enter`."""
    said = {at[1]: entry.value for at, entry in entries.items() if at[0] == "carriers" and at[2:] == ("kind",)}
    return {name: kind for name, kind in said.items() if isinstance(kind, str) and kind in CARRIER_KINDS}


def _kind(name: str, kinds: Mapping[str, str]) -> type[Struct]:
    return CARRIER_KINDS[kinds.get(name, "simulator")]


def _incomplete(carriers: Mapping[str, Any], kinds: Mapping[str, str]) -> Iterator[str]:
    """What a carrier lacks. Writes the kind of each into the tree."""
    for name, carrier in carriers.items():
        carrier["kind"] = kinds.get(name, "simulator")
        for one in smpp_reference() if carrier["kind"] == "smpp" else ():
            if one.default == REQUIRED and one.path[-1] not in carrier:
                at = dotted(("carriers", name, one.path[-1]))
                yield f"{at} is missing, which a carrier over SMPP must have. {one.description}"


def _enter(tree: dict[str, Any], at: Where, entry: _Given, kinds: Mapping[str, str], problems: list[str]) -> None:
    """Check one value and put it into its place in the tree."""
    hint = _type_of(at, kinds)
    if hint is None:
        value = toml(shown(at, entry.value))
        problems.append(f"{entry.where}: {dotted(at)} = {value} is not a setting{_suggestion(at, kinds)}")
        return
    try:
        value = converted(entry.value, hint, text=entry.text)
    except msgspec.ValidationError as error:
        problems.append(f"{entry.where}: {complaint(at, entry.value, error, _known(at, kinds))}")
        return
    for part in at[:-1]:
        tree = tree.setdefault(part, {})
    tree[at[-1]] = msgspec.to_builtins(value)


def _type_of(at: Where, kinds: Mapping[str, str]) -> Any:
    """The type of the setting at a path; None when there is none."""
    match at:
        case ("prices", _, _):
            return str
        case ("carriers", name, "kind") if name:
            return Literal["simulator", "smpp"]
        case ("carriers", name, key) if name:
            return get_type_hints(_kind(name, kinds), include_extras=True).get(key)
        case ("carriers", name, "statuses", _) if _kind(name, kinds) is SmppSettings:
            return SubmitClass
        case ("carriers", _) | ("prices", _):  # an empty table: nothing but defaults, no prices at all
            return dict[str, str]
        case (section, key) if section in SECTIONS:
            return get_type_hints(SECTIONS[section], include_extras=True).get(key)
    return None


def converted(value: Any, hint: Any, *, text: bool) -> Any:
    """A value as a setting of this type has it; `text` says that it is a string for any type, with commas between
    those of a list. Raises `msgspec.ValidationError`.
    """
    plain = getattr(hint, "__origin__", None)  # without what `Annotated` says of it
    if text and get_origin(plain) is tuple:
        value = tuple(_number_or_text(part.strip()) for part in value.split(",") if part.strip())
    found = msgspec.convert(value, hint, strict=not text)
    if isinstance(found, float) and not math.isfinite(found):
        raise msgspec.ValidationError("Expected a finite number")
    if "\0" in str(found):
        raise msgspec.ValidationError("Expected a text without U+0000")
    return found


def _number_or_text(part: str) -> int | str:
    """A hexadecimal number as TOML has it, which a conversion from text would refuse."""
    return int(part, 16) if re.fullmatch("0x[0-9a-fA-F]{1,8}", part) else part


def _known(at: Where, kinds: Mapping[str, str]) -> Setting | None:
    """What the reference says of a setting."""
    of_section = [one for one in _settings_beside(at, kinds) if one.path[0] == at[0]]
    return next((one for one in of_section if at[0] == "prices" or one.path[-1] == at[min(2, len(at) - 1)]), None)


def _settings_beside(at: Where, kinds: Mapping[str, str]) -> list[Setting]:
    """The reference, with the settings that a carrier of that kind has."""
    known = reference()
    if at[0] != "carriers" or len(at) < 2 or _kind(at[1], kinds) is not SmppSettings:
        return known
    return [one for one in known if one.path[0] != "carriers"] + smpp_reference()


def complaint(at: Where, value: Any, error: Exception, known: Setting | None) -> str:
    """What is wrong with a value, and what it may be."""
    reason = str(error).replace("`", "")
    bounds = f", the bounds are {known.bounds}" if known and known.bounds else ""
    default = f"; the default is {toml(known.default)}{bounds}." if known and known.default != REQUIRED else "."
    remedy = f"{default} {known.description}" if known else ""
    return f"{dotted(at)} = {toml(shown(at, value))}: {reason[:1].lower()}{reason[1:]}{remedy}"


def _suggestion(at: Where, kinds: Mapping[str, str]) -> str:
    """The remedy for a name that is not known: the nearest that is."""
    known = _settings_beside(at, kinds)
    sections = list(dict.fromkeys(one.path[0] for one in known))
    key = at[-1] if len(at) > 1 else ""
    if at[0] in sections:
        keys = [one.path[-1] for one in known if one.path[0] == at[0]]
        near = difflib.get_close_matches(key, keys, 1, 0.5)
        if near:
            return f"; did you mean {dotted((*at[:-1], near[0]))}?"
        return f"; the settings of [{at[0]}] are {', '.join(map(dotted, zip(keys)))}"
    near = difflib.get_close_matches(at[0], sections, 1, 0.6)
    candidates = [one.name for one in known if key and one.path[-1] == key and (not near or one.path[0] == near[0])]
    if candidates or near:
        return f"; did you mean {candidates[0] if candidates else f'[{near[0]}]'}?"
    return f"; the sections are {', '.join(sections)}"
