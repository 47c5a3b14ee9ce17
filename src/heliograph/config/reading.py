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
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct

from heliograph.config.catalogue import PREFIX, SECTIONS, Where, dotted, reference, toml, values
from heliograph.config.consistency import inconsistent
from heliograph.config.settings import CarrierSettings, Settings

DATA_VARIABLE = "HELIOGRAPH_DATA"  # what the commands read; the same as HELIOGRAPH_DATA__DIR

# Read by commands and tests, not settings.
_OTHERS = ("CONFIG", "COMMAND", "WEBHOOK_SECRET", "TEST_SEED", "SIM_SEED", "SIM_SEEDS")
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
    tree: dict[str, Any] = {}
    for at, entry in entries.items():
        _enter(tree, at, entry, problems)
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
    near = difflib.get_close_matches(variable, [*others[:4], *(setting.variable for setting in settings)], 1, 0.0)
    yield f"{variable} is read by nobody; did you mean {near[0]}? If it is another program's, rename it"


def _enter(tree: dict[str, Any], at: Where, entry: _Given, problems: list[str]) -> None:
    """Check one value and put it into its place in the tree."""
    hint = _type_of(at)
    if hint is None:
        problems.append(f"{entry.where}: {dotted(at)} = {toml(entry.value)} is not a setting{_suggestion(at)}")
        return
    try:
        value = _converted(entry, hint)
    except msgspec.ValidationError as error:
        problems.append(_complaint(at, entry, error))
        return
    for part in at[:-1]:
        tree = tree.setdefault(part, {})
    tree[at[-1]] = msgspec.to_builtins(value)


def _type_of(at: Where) -> Any:
    """The type of the setting at a path; None when there is none."""
    match at:
        case ("prices", _, _):
            return str
        case ("carriers", name, key) if name:
            return get_type_hints(CarrierSettings, include_extras=True).get(key)
        case ("carriers", _) | ("prices", _):  # an empty table: nothing but defaults, no prices at all
            return dict[str, str]
        case (section, key) if section in SECTIONS:
            return get_type_hints(SECTIONS[section], include_extras=True).get(key)
    return None


def _converted(entry: _Given, hint: Any) -> Any:
    if entry.text and getattr(hint, "__origin__", None) == tuple[str, ...]:
        return tuple(part.strip() for part in entry.value.split(",") if part.strip())
    value = msgspec.convert(entry.value, hint, strict=not entry.text)
    if isinstance(value, float) and not math.isfinite(value):
        raise msgspec.ValidationError("Expected a finite number")
    if "\0" in str(value):
        raise msgspec.ValidationError("Expected a text without U+0000")
    return value


def _complaint(at: Where, entry: _Given, error: Exception) -> str:
    reason = str(error).replace("`", "")
    of_section = [one for one in reference() if one.path[0] == at[0]]
    known = next((one for one in of_section if at[0] == "prices" or one.path[-1] == at[-1]), None)
    bounds = f", the bounds are {known.bounds}" if known and known.bounds else ""
    remedy = f"; the default is {toml(known.default)}{bounds}. {known.description}" if known else ""
    return f"{entry.where}: {dotted(at)} = {toml(entry.value)}: {reason[:1].lower()}{reason[1:]}{remedy}"


def _suggestion(at: Where) -> str:
    """The remedy for a name that is not known: the nearest that is."""
    known = reference()
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
