"""What to do when a carrier did not simply take a message.

Carriers sort every outcome into one of these classes (SMPP statuses by a table that each carrier can override); the
decision is here, once.
"""

from __future__ import annotations

from enum import Enum, StrEnum

import msgspec

from heliograph.messaging.submissions import Happening

MAX_TRIES = 3
MAX_TRIES_AMBIGUOUS = 2
TEMPORARY_DELAYS_SECONDS = (30, 120, 300)


class SubmitClass(StrEnum):
    """How a submit to a carrier ended."""

    TAKEN = "taken"
    THROTTLED = "throttled"
    TEMPORARY = "temporary"
    AMBIGUOUS = "ambiguous"
    OTHER_ROUTE = "other_route"
    PERMANENT = "permanent"
    LINK_FAULT = "link_fault"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class DoubtPolicy(StrEnum):
    """What becomes of a message that was sent and never answered."""

    RESEND = "resend"  # accepted means sent at least once: it may arrive twice
    HOLD = "hold"  # sent at most once: ends as UNKNOWN unless a receipt comes


def lapsed(*, doubted: bool, parts_taken: int) -> Happening:
    """What a message comes to that was not sent wholly when its validity ended. `doubted` as in `decide`."""
    if doubted:
        return Happening.LEFT_IN_DOUBT
    return Happening.TRIES_USED_UP if parts_taken else Happening.LAPSED


class Next(Enum):
    """The three things that can follow."""

    AGAIN = "again"
    END = "end"
    DONE = "done"


class Decision(msgspec.Struct, frozen=True):
    """What follows an outcome: again after `delay_seconds`, or the end by `happening`; `spends_try` when the attempt
    counts, `reroute` when the next carrier tries, with all tries.
    """

    next: Next
    happening: Happening | None = None
    delay_seconds: float = 0
    spends_try: bool = True
    reroute: bool = False


_DONE = Decision(Next.DONE, Happening.TAKEN)
_REFUSED = Decision(Next.END, Happening.REFUSED)
_GIVE_UP = Decision(Next.END, Happening.TRIES_USED_UP)
_IN_DOUBT = Decision(Next.END, Happening.LEFT_IN_DOUBT)
_AT_ONCE = Decision(Next.AGAIN, spends_try=False)
_THROTTLED = Decision(Next.AGAIN, delay_seconds=1, spends_try=False)
_REROUTE = Decision(Next.AGAIN, reroute=True)


def decide(
    outcome: SubmitClass, tries: int, policy: DoubtPolicy, *, doubted: bool = False, others: bool = False
) -> Decision:
    """What follows the outcome of try number `tries` + 1 of a message at its carrier; `others` when another carrier may
    have it.

    A message with an unknown outcome, now or of an earlier try (`doubted`), never ends as failed: it may have arrived.
    For the same reason no other carrier gets it.
    """
    match outcome:
        case SubmitClass.TAKEN:
            return _DONE
        case SubmitClass.PERMANENT:
            return _IN_DOUBT if doubted else _REFUSED
        case SubmitClass.NOT_SENT | SubmitClass.LINK_FAULT:
            return _AT_ONCE
        case SubmitClass.THROTTLED:
            return _THROTTLED
        case SubmitClass.UNKNOWN:
            if policy is DoubtPolicy.HOLD or tries + 1 >= MAX_TRIES:
                return _IN_DOUBT
            return Decision(Next.AGAIN, delay_seconds=1)
        case SubmitClass.TEMPORARY | SubmitClass.AMBIGUOUS | SubmitClass.OTHER_ROUTE:
            if tries + 1 < _TRIES[outcome]:
                return Decision(Next.AGAIN, delay_seconds=TEMPORARY_DELAYS_SECONDS[tries])
            if doubted:
                return _IN_DOUBT
            return _REROUTE if others else _GIVE_UP


# How often one carrier is tried when it answers so.
_TRIES = {
    SubmitClass.TEMPORARY: MAX_TRIES,
    SubmitClass.AMBIGUOUS: MAX_TRIES_AMBIGUOUS,
    SubmitClass.OTHER_ROUTE: 1,
}
