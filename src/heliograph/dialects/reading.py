"""What every dialect reads and quotes alike. No I/O, no clock."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError

_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_BEARER: Final = b"bearer "


def bearer_token(authorization: bytes | None) -> str:
    """The token of an `Authorization` header. Raises `CallerError`: TOKEN_MISSING or TOKEN_MALFORMED."""
    if authorization is None:
        raise CallerError(errors.TOKEN_MISSING, "There is no Authorization header; send `Bearer` and an access token.")
    if authorization[:7].lower() != _BEARER:
        raise CallerError(errors.TOKEN_MISSING, "The Authorization header does not begin with `Bearer ` and a token.")
    token = authorization[7:]
    if not _TOKEN.fullmatch(token):
        raise CallerError(
            errors.TOKEN_MALFORMED, "What follows `Bearer ` is no access token; send it as it was issued."
        )
    return token.decode()


def read_json(body: bytes | bytearray, fields: str) -> Any:
    """A body as JSON, leniently enough to tell what is wrong with its fields; `fields` names those that it should have.

    Raises `CallerError(BODY_NOT_JSON)`.
    """
    if not body:
        raise CallerError(errors.BODY_NOT_JSON, "The body is empty; send one JSON object.")
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8 at byte {error.start}; encode the JSON as UTF-8."
    except json.JSONDecodeError as error:
        detail = (
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}; send one JSON object."
        )
    except RecursionError:
        detail = f"The body is nested too deeply; send one object with {fields}."
    except ValueError:
        detail = "The body has a number of thousands of digits; none of the fields needs one."
    raise CallerError(errors.BODY_NOT_JSON, detail)


def _refuse_constant(name: str) -> NoReturn:
    raise CallerError(errors.BODY_NOT_JSON, f"The body is not JSON: {name} is no JSON number.")


def found(container: dict[str, Any], name: str) -> str:
    """What an object has under a name, for people."""
    return named(container[name]) if name in container else "missing"


def named(value: Any) -> str:
    """A JSON value for people: its type, and what it is where that is short."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return f"the number {value}"
        case int():
            return f"the number {value}" if abs(value) < 10**15 else "a very large number"
        case str():
            return f"the string {json.dumps(value[:20])}"
        case list():
            return "an array"
        case _:
            return "an object"


def readable(text: str) -> str:
    """What may quote a caller, without what JSON cannot carry."""
    return text.encode(errors="backslashreplace").decode()
