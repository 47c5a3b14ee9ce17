"""What the demo tells at the terminal while messages go by.

It costs the server next to nothing: a few times a second it looks at the newest messages in the store, prints about ten
lines a second from a thread, more after a silence, and counts the rest. A terminal that is held up holds up nothing
else.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

import msgspec

from heliograph.cli.listen import Received
from heliograph.kit.ids import PublicIds
from heliograph.messaging.pricing import exact, show_balance
from heliograph.messaging.submissions import Status
from heliograph.store.interface import Event, MessageFilter, Reads, Store, StoredMessage, StoreError

LOOK_SECONDS = 0.2
LINES_A_SECOND = 10
_LINES_AT_ONCE = 40  # after a while of silence
_LINES_A_MESSAGE = 4  # accepted, sent, its end, its callback
_NEW_AT_ONCE = 20
_FOLLOWED = 20
_REMEMBERED = 100
_ID = re.compile(r'"id":"([0-9]{1,16})"')


class Look(msgspec.Struct, frozen=True):
    """What the store showed: the newest messages, newest first, those that are followed, balances by account id, and
    the timelines' own lines by message id.
    """

    newest: list[StoredMessage]
    followed: list[StoredMessage]
    balances: dict[int, int]
    events: dict[int, list[Event]] = {}


_Line = tuple[int, str]
"""When it happened, and what is printed."""


class Watch:
    """Tells of messages and callbacks through `write`, which gets whole lines.

    A message that it begins to tell of it follows to the end, up to the last `_FOLLOWED`. When there are too many it
    tells of some, and how many it left out.
    """

    def __init__(self, store: Store, ids: PublicIds, write: Callable[[str], None]) -> None:
        self._store = store
        self._ids = ids
        self._write = write
        self._seen = 0
        self._any_seen = False
        self.followed: dict[int, Status] = {}
        self._events_told: dict[int, int] = {}
        self._told: dict[str, None] = {}
        self._callbacks: list[Received] = []
        self._messages_left_out = 0
        self._callbacks_left_out = 0
        self._second_began = float("-inf")
        self._refilled = 0.0
        self._lines_left = float(_LINES_AT_ONCE)

    def called_back(self, callback: Received) -> None:
        """The built-in listener got a callback."""
        if len(self._callbacks) < _REMEMBERED:
            self._callbacks.append(callback)
        else:
            self._callbacks_left_out += 1

    async def follow(self) -> None:
        """Tell what happens from now on, for ever."""
        newest = await self._store.read(lambda reads: reads.messages(MessageFilter(), 1))
        self._seen = newest[0].id if newest else 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                look = await self._store.read(self.look)
            except StoreError:
                continue  # the log says so; there is nothing to tell
            lines = self.tell(look, time.monotonic())
            if lines:
                await asyncio.to_thread(self._write, "".join(f"{line}\n" for line in lines))

    def look(self, reads: Reads) -> Look:
        """What the store shows of messages that are new and of those that are followed."""
        newest = [one for one in reads.messages(MessageFilter(), _NEW_AT_ONCE) if one.id > self._seen]
        followed = [found for id_ in self.followed if (found := reads.message(id_)) is not None]
        tried = [one.id for one in (*newest, *followed) if one.tries]
        events = {id_: reads.events(id_) for id_ in tried}
        return Look(newest, followed, reads.balances() if newest else {}, events)

    def tell(self, look: Look, now_seconds: float) -> list[str]:
        """The lines about a look, in the order of their times."""
        left_out: list[str] = []
        self._lines_left += (now_seconds - self._refilled) * LINES_A_SECOND
        self._lines_left, self._refilled = min(self._lines_left, _LINES_AT_ONCE), now_seconds
        if now_seconds - self._second_began >= 1:
            self._second_began = now_seconds
            left_out = self._left_out()
        new = self._begin(look.newest)
        lines = [self._line(one.registered_utc_ms, "accepted", one, _paid(one, look)) for one in new]
        for message in [*look.followed, *new]:
            lines += self._progress(message, look.events.get(message.id, []))
        self._lines_left -= len(lines) + len(left_out)
        told = self._of_callbacks()
        self._lines_left -= len(told)
        return left_out + [text for _, text in sorted(lines + told, key=lambda line: line[0])]

    def _spare(self) -> int:
        """Lines left now when those about followed messages are set aside; some are kept for new ones."""
        reserved = min(len(self.followed) * (_LINES_A_MESSAGE - 1), _LINES_AT_ONCE // 2)
        return max(int(self._lines_left) - reserved, 0)

    def _begin(self, newest: list[StoredMessage]) -> list[StoredMessage]:
        """Those of the new messages that are told of, oldest first."""
        if not newest:
            return []
        if not self._any_seen:  # the ids of this run do not follow on those of the one before
            self._any_seen, self._seen = True, newest[-1].id - 1
        new = newest[::-1][: self._spare() // _LINES_A_MESSAGE]
        # Ids have gaps, so they count messages only where not all of these were looked at.
        count = newest[0].id - self._seen if len(newest) == _NEW_AT_ONCE else len(newest)
        self._messages_left_out += count - len(new)
        self._seen = newest[0].id
        for message in new:
            self.followed[message.id] = Status.PENDING
            self._told[self._public(message.id)] = None
        while len(self.followed) > _FOLLOWED:
            oldest = next(iter(self.followed))
            del self.followed[oldest]
            self._events_told.pop(oldest, None)
        while len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        return new

    def _progress(self, message: StoredMessage, events: list[Event]) -> list[_Line]:
        told = self._events_told.get(message.id, 0)
        lines = []
        for one in events[told:]:
            event, _, more = one.event.partition(", ")
            text = "; ".join(part for part in (more, one.detail) if part)
            lines.append(self._line(one.at_utc_ms, event, message, text))
            self._events_told[message.id] = len(events)
        before = self.followed.get(message.id, message.status)
        if before == message.status:
            return lines
        self.followed[message.id] = message.status
        if before is Status.PENDING and message.sent_utc_ms:
            lines.append(self._line(message.sent_utc_ms, "sent", message, "the carrier took it"))
        if message.status.final:
            del self.followed[message.id]
            self._events_told.pop(message.id, None)
            refund = f"refunded {exact(message.price_micros)}" if message.refunded else ""
            text = ", ".join(part for part in (message.detail, refund) if part)
            lines.append(self._line(message.done_utc_ms, message.status.name.lower(), message, text))
        return lines

    def _of_callbacks(self) -> list[_Line]:
        callbacks, self._callbacks = self._callbacks, []
        lines: list[_Line] = []
        for callback in callbacks:
            found = _ID.search(callback.body)
            if (found and found[1] in self._told) or self._spare() - len(lines) >= _LINES_A_MESSAGE:
                proof = "signature verified" if callback.verified else callback.why_not
                text = f"{callback.body}  {proof}, answered {callback.answer}"
                lines.append((callback.at_utc_ms, f"{_clock(callback.at_utc_ms)}  callback     {text}"))
            else:
                self._callbacks_left_out += 1
        return lines

    def _left_out(self) -> list[str]:
        counts = ((self._messages_left_out, "message"), (self._callbacks_left_out, "callback"))
        self._messages_left_out = self._callbacks_left_out = 0
        told = " and ".join(f"{count:,} more {what}{'s' * (count != 1)}" for count, what in counts if count)
        return [f"              … and {told}"] if told else []

    def _line(self, at_utc_ms: int, event: str, message: StoredMessage, text: str) -> _Line:
        return at_utc_ms, f"{_clock(at_utc_ms)}  {event:<11}  {self._public(message.id):<16}  {text}".rstrip()

    def _public(self, message_id: int) -> str:
        return str(self._ids.publish(message_id, 1)[0])


def _paid(message: StoredMessage, look: Look) -> str:
    """What a message cost, and the balance after it where the look shows just that."""
    text = f"from {message.sender} to +{message.recipient}: stored, paid {exact(message.price_micros)}"
    if len(look.newest) > 1 or any(one.refunded for one in (*look.newest, *look.followed)):
        return text
    return f"{text}, balance {show_balance(look.balances.get(message.account_id, 0))}"


def _clock(utc_ms: int) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(utc_ms / 1000))}.{utc_ms % 1000:03}"
