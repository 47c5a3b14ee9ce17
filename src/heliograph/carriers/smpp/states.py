"""The states of a session, and what may be sent in each, by whom: the table that `session.py` follows."""

from __future__ import annotations

from enum import Enum

from heliograph.carriers.smpp.pdu import Bind, CancelSm, DataSm, DeliverSm, EnquireLink, QuerySm, SubmitSm, Unbind


class Role(Enum):
    """Which end we are."""

    ESME = "esme"
    SMSC = "smsc"


class SessionState(Enum):
    """SMPP 3.4 §2.2, with the two moments between a request and its answer that the specification leaves unnamed."""

    OPEN = "open"
    BINDING = "binding"
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBINDING = "unbinding"
    CLOSED = "closed"


_ALIVE = frozenset({EnquireLink})
_LINK = frozenset({EnquireLink, Unbind})
TO_SMSC = frozenset({SubmitSm, DataSm, QuerySm, CancelSm})
TO_ESME = frozenset({DeliverSm, DataSm})

# SMPP 3.4 §2.3: the requests that each end may send in each state; responses go wherever a request was. Before the bind
# enquire_link is of SMPP 5.0 (§2.4). What crosses our unbind on the wire is still in order.
ALLOWED: dict[tuple[Role, SessionState], frozenset[type]] = {
    (Role.ESME, SessionState.OPEN): _LINK | {Bind},
    (Role.ESME, SessionState.BINDING): _LINK,
    (Role.ESME, SessionState.BOUND_TX): _LINK | TO_SMSC,
    (Role.ESME, SessionState.BOUND_RX): _LINK,
    (Role.ESME, SessionState.BOUND_TRX): _LINK | TO_SMSC,
    (Role.ESME, SessionState.UNBINDING): _LINK | TO_SMSC,
    (Role.ESME, SessionState.CLOSED): frozenset(),
    (Role.SMSC, SessionState.OPEN): _ALIVE,
    (Role.SMSC, SessionState.BINDING): _LINK,
    (Role.SMSC, SessionState.BOUND_TX): _LINK,
    (Role.SMSC, SessionState.BOUND_RX): _LINK | TO_ESME,
    (Role.SMSC, SessionState.BOUND_TRX): _LINK | TO_ESME,
    (Role.SMSC, SessionState.UNBINDING): _LINK | TO_ESME,
    (Role.SMSC, SessionState.CLOSED): frozenset(),
}
BOUND = frozenset({SessionState.BOUND_TX, SessionState.BOUND_RX, SessionState.BOUND_TRX})
