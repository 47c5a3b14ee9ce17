"""747 SMS v1 on the wire: what bodies and queries mean, what answers and errors look like. No I/O, no clock.

`orders` reads what is sent, `lists` what is asked for, `answers` writes what is told, `problems` what went wrong. The
contract's clauses are cited by the names of its sections.
"""

from __future__ import annotations

from typing import Final

from heliograph.dialects.sms747.answers import (
    render_account,
    render_batch,
    render_created,
    render_list,
    render_message,
    render_token,
    status_body,
)
from heliograph.dialects.sms747.credentials import (
    API_KEY_PREFIX,
    API_SECRET_PREFIX,
    check_credentials,
    parse_token_request,
)
from heliograph.dialects.sms747.lists import Wanted, parse_list
from heliograph.dialects.sms747.orders import Asked, parse_batch, parse_order
from heliograph.dialects.sms747.problems import CODES, STATUS, error_body, note_of, pointing

NAME: Final = "747 SMS v1"
DIALECT: Final = 2
"""How a stored message names this dialect."""
AUDIENCE: Final = "sms747"
"""`aud` of its tokens."""

__all__ = [
    "API_KEY_PREFIX",
    "API_SECRET_PREFIX",
    "AUDIENCE",
    "CODES",
    "DIALECT",
    "NAME",
    "STATUS",
    "Asked",
    "Wanted",
    "check_credentials",
    "error_body",
    "note_of",
    "parse_batch",
    "parse_list",
    "parse_order",
    "parse_token_request",
    "pointing",
    "render_account",
    "render_batch",
    "render_created",
    "render_list",
    "render_message",
    "render_token",
    "status_body",
]
