"""What a session tells its application."""

from __future__ import annotations

import msgspec

from heliograph.carriers.smpp.pdu import BindResp, Request, Response


class Bound(msgspec.Struct, frozen=True, gc=False):
    """The SMSC took our bind."""

    pdu: BindResp


class BindRefused(msgspec.Struct, frozen=True, gc=False):
    """The SMSC refused our bind; `Closed` follows."""

    status: int


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The peer answered a request of ours, perhaps by a generic_nack; `status` of it is 0 only where it was taken."""

    token: object
    response: Response


class Unanswered(msgspec.Struct, frozen=True, gc=False):
    """A request of ours will have no answer: whether the peer acted on it is not known."""

    token: object
    reason: str


class Received(msgspec.Struct, frozen=True, gc=False):
    """The peer asks something of the application, which owes it `Session.respond`."""

    pdu: Request


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The session is over. Once `outgoing()` is written the connection is to be closed."""

    reason: str


Event = Bound | BindRefused | Answer | Unanswered | Received | Closed
