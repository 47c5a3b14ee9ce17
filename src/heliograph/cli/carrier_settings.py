"""A carrier's settings as people type them: `window=50`, `statuses.0x45=permanent`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import msgspec

from heliograph.carriers.checks import REFUSALS, unusable
from heliograph.carriers.settings import SmppSettings
from heliograph.cli.common import WRONG, refuse
from heliograph.config import REQUIRED, Setting, complaint, converted, smpp_reference
from heliograph.messaging.retry import SubmitClass

_FILES = ("tls_ca", "tls_cert", "tls_key")


def known() -> dict[str, Setting]:
    """What there is to set, by key."""
    return {one.path[-1]: one for one in smpp_reference() if one.path[-1] != "kind"}


def changed(name: str, before: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """The settings `before` with all of these, checked one by one."""
    after = {**before, "statuses": dict(before.get("statuses", {}))}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            refuse(f"{assignment[:60]!r} is no setting with its value; write it like window=50", WRONG)
        if key.startswith("statuses."):
            _set_status(name, after["statuses"], key.removeprefix("statuses."), text)
        elif key == "statuses":
            refuse("statuses are set one by one, like statuses.0x45=permanent; statuses.0x45= takes one back", WRONG)
        else:
            after[key] = _value(name, key, text)
    return after


def settings_of(name: str, values: Mapping[str, Any], max_segments: int) -> SmppSettings:
    """Settings made of checked values, that fit together."""
    missing = [key for key, one in known().items() if one.default == REQUIRED and key not in values]
    if missing:
        options = " and ".join(f"--{key.replace('_', '-')}" for key in missing)
        refuse(f"carriers.{name} lacks {' and '.join(missing)}; give {options}", WRONG)
    settings = msgspec.convert({**values, "kind": "smpp"}, SmppSettings)
    if trouble := [f"carriers.{name}.{key}{rest}" for key, rest in unusable(settings, max_segments)]:
        refuse("\n".join(trouble), WRONG)
    return settings


def _value(name: str, key: str, text: str) -> Any:
    """A setting's value, of its type and within its bounds."""
    setting = known().get(key)
    if setting is None:
        _unknown(key)
    hint = get_type_hints(SmppSettings, include_extras=True)[key]
    try:
        value = converted(text, hint, text=True)
    except msgspec.ValidationError as error:
        refuse(complaint(("carriers", name, key), text, error, setting), WRONG)
    if key in _FILES and value:
        return str(Path(value).absolute())  # the server may run in another folder
    return msgspec.to_builtins(value)


def _set_status(name: str, statuses: dict[str, str], status: str, text: str) -> None:
    if not text:
        if status not in statuses:
            refuse(f"statuses.{status} is not set; there are {', '.join(statuses) or 'none'}", WRONG)
        del statuses[status]
        return
    try:
        statuses[status] = SubmitClass(text).value
    except ValueError:
        classes = ", ".join(REFUSALS)
        refuse(f"carriers.{name}.statuses.{status} = {text[:40]!r} is no class of outcomes; write {classes}", WRONG)


def _unknown(key: str) -> NoReturn:
    keys = list(known())
    near = difflib.get_close_matches(key, keys, 1, 0.5)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(keys)}"
    refuse(f"{key[:40]!r} is no setting of a carrier; {meant}", WRONG)
