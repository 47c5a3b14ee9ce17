"""When a callback is tried: seven attempts, as data.

    attempt    1   2    3    4    5     6     7
    minute     0   5   20   50  110   410  1850      counted from the first

Each delay runs from the start of one attempt to the start of the next, however long the attempt took. Nothing skips or
delays an attempt; an acknowledgement or the seventh refusal ends the schedule.
"""

from __future__ import annotations

from itertools import accumulate

_MINUTE = 60
_HOUR = 60 * _MINUTE

DELAYS_SECONDS = (5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, 1 * _HOUR, 5 * _HOUR, 24 * _HOUR)
STARTS_SECONDS = tuple(accumulate(DELAYS_SECONDS, initial=0))
ATTEMPTS = len(STARTS_SECONDS)

# The last attempt has no next one. If the process dies in the middle of it, nobody is left to say how it ended:
# so long after its start it has failed.
GRACE_SECONDS = 2 * _MINUTE

# What a claim needs: from the start of attempt n + 1 to when the callback is looked at again.
CLAIM_DELAYS_SECONDS = (*DELAYS_SECONDS, GRACE_SECONDS)


def is_last(attempt: int) -> bool:
    """Whether no attempt follows this one (the first is 1)."""
    return attempt >= ATTEMPTS
