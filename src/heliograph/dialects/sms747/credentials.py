"""The token request: API key and secret."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl

from heliograph.dialects.reading import found, read_json
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError

API_KEY_PREFIX: Final = "k7_"
API_SECRET_PREFIX: Final = "s7_"  # noqa: S105 (the prefix of all of them)

_SHAPES: Final = {"api_key": (API_KEY_PREFIX, 27), "api_secret": (API_SECRET_PREFIX, 46)}
_CHARACTERS: Final = re.compile(r"[A-Za-z0-9_-]*")
_FORM: Final = "application/x-www-form-urlencoded"
_BODY_BYTES: Final = 16 * 1024
_FORM_FIELDS: Final = 50


def check_credentials(api_key: str, api_secret: str) -> None:
    """Raise `CallerError(AUTH_MALFORMED)` unless both have the shape in which they are issued, right or wrong."""
    for name, value in (("api_key", api_key), ("api_secret", api_secret)):
        prefix, length = _SHAPES[name]
        if not (value.startswith(prefix) and len(value) == length and _CHARACTERS.fullmatch(value)):
            detail = f"{name} is malformed: it has {length} characters, the first {prefix}; copy it as it was issued."
            raise CallerError(errors.AUTH_MALFORMED, detail, pointer=f"/{name}")


def parse_token_request(content_type: str, body: bytes) -> tuple[str, str]:
    """API key and secret of `POST /api/v1/auth/token`, well-formed. A body whose type is that of a form is read as one,
    unless it begins like an object: many clients label JSON so.

    Raises `CallerError`: AUTH_MALFORMED, BODY_NOT_JSON.
    """
    if len(body) > _BODY_BYTES:
        detail = f"The body has {len(body)} bytes, of which a token request needs less than 200."
        raise CallerError(errors.AUTH_MALFORMED, detail)
    is_form = content_type.partition(";")[0].strip().lower() == _FORM and not body.lstrip().startswith(b"{")
    fields = _form(body) if is_form else read_json(body, "api_key and api_secret")
    if type(fields) is not dict:
        raise CallerError(errors.AUTH_MALFORMED, "The body is no object; send one with api_key and api_secret.")
    wrong = [(f"/{name}", f"{name} is {found(fields, name)}; send a string.") for name in _SHAPES if _bad(fields, name)]
    if wrong:
        raise CallerError(errors.AUTH_MALFORMED, wrong[0][1], problems=tuple(wrong))
    check_credentials(fields["api_key"], fields["api_secret"])
    return fields["api_key"], fields["api_secret"]


def _bad(fields: dict[str, Any], name: str) -> bool:
    return type(fields.get(name)) is not str


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=_FORM_FIELDS)
    except ValueError:
        detail = f"The form has more than {_FORM_FIELDS} fields; a token request needs two."
        raise CallerError(errors.AUTH_MALFORMED, detail) from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields and name in _SHAPES:
            raise CallerError(errors.AUTH_MALFORMED, f"{name} comes twice; send it once.", pointer=f"/{name}")
        fields[name] = value
    return fields
