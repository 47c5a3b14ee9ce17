"""What the demo tells at the terminal while messages go by.

It costs the server next to nothing: a few times a second it looks at the newest messages in the store, prints about ten
lines a second from a thread, and counts the rest. A terminal that is held up holds up nothing else.
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
from heliograph.store.interface import Reads, Store, StoredMessage, StoreError

LOOK_SECONDS = 0.2
LINES_A_SECOND = 10
_LINES_A_MESSAGE = 4  # accepted, sent, its end, its callback
_NEW_AT_ONCE = 5
_REMEMBERED = 100
_ID = re.compile(r'"id":"([0-9]{1,16})"')


class Look(msgspec.Struct, frozen=True):
    """What the store showed: the newest messages, newest first, those that are followed, balances by account id."""

    newest: list[StoredMessage]
    followed: list[StoredMessage]
    balances: dict[int, int]


class Watch:
    """Tells of messages and callbacks through `write`, which gets whole lines.

    A message that it begins to tell of it follows to the end. When there are too many it tells of some, and how many
    it left out.
    """

    def __init__(self, store: Store, ids: PublicIds, write: Callable[[str], None]) -> None:
        self._store = store
        self._ids = ids
        self._write = write
        self._seen = 0
        self._any_seen = False
        self.followed: dict[int, Status] = {}
        self._told: dict[str, None] = {}
        self._callbacks: list[Received] = []
        self._messages_left_out = 0
        self._callbacks_left_out = 0
        self._second_began = float("-inf")
        self._lines_left = 0

    def called_back(self, callback: Received) -> None:
        """The built-in listener got a callback."""
        if len(self._callbacks) < _REMEMBERED:
            self._callbacks.append(callback)
        else:
            self._callbacks_left_out += 1

    async def follow(self) -> None:
        """Tell what happens from now on, for ever."""
        newest = await self._store.read(lambda reads: reads.messages(None, 1))
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
        newest = [one for one in reads.messages(None, _NEW_AT_ONCE) if one.id > self._seen]
        followed = [found for id_ in self.followed if (found := reads.message(id_)) is not None]
        return Look(newest, followed, reads.balances() if newest else {})

    def tell(self, look: Look, now_seconds: float) -> list[str]:
        """The lines about a look."""
        lines: list[str] = []
        if now_seconds - self._second_began >= 1:
            self._second_began, self._lines_left = now_seconds, LINES_A_SECOND
            lines += self._left_out()
        new = self._begin(look.newest)
        for message in new:
            lines.append(self._line(message.registered_utc_ms, "accepted", message, _paid(message, look.balances)))
        for message in [*look.followed, *new]:
            lines += self._progress(message)
        self._lines_left -= len(lines)
        told = self._of_callbacks()
        self._lines_left -= len(told)
        return lines + told

    def _spare(self) -> int:
        """Lines left in this second when those about followed messages are set aside."""
        return max(self._lines_left - len(self.followed) * (_LINES_A_MESSAGE - 1), 0)

    def _begin(self, newest: list[StoredMessage]) -> list[StoredMessage]:
        """Those of the new messages that are told of, oldest first."""
        if not newest:
            return []
        if not self._any_seen:  # the ids of this run do not follow on those of the one before
            self._any_seen, self._seen = True, newest[-1].id - 1
        new = newest[::-1][: self._spare() // _LINES_A_MESSAGE]
        self._messages_left_out += newest[0].id - self._seen - len(new)
        self._seen = newest[0].id
        for message in new:
            self.followed[message.id] = Status.PENDING
            self._told[self._public(message.id)] = None
        while len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        return new

    def _progress(self, message: StoredMessage) -> list[str]:
        before = self.followed[message.id]
        if before == message.status:
            return []
        self.followed[message.id] = message.status
        lines = []
        if before is Status.PENDING and message.sent_utc_ms:
            lines.append(self._line(message.sent_utc_ms, "sent", message, "the carrier took it"))
        if message.status.final:
            del self.followed[message.id]
            refund = f"refunded {exact(message.price_micros)}" if message.refunded else ""
            text = ", ".join(part for part in (message.detail, refund) if part)
            lines.append(self._line(message.done_utc_ms, message.status.name.lower(), message, text))
        return lines

    def _of_callbacks(self) -> list[str]:
        callbacks, self._callbacks = self._callbacks, []
        lines: list[str] = []
        for callback in callbacks:
            found = _ID.search(callback.body)
            if (found and found[1] in self._told) or self._spare() - len(lines) >= _LINES_A_MESSAGE:
                proof = "signature verified" if callback.verified else callback.why_not
                text = f"{callback.body}  {proof}, answered {callback.answer}"
                lines.append(f"{_clock(callback.at_utc_ms)}  callback     {text}")
            else:
                self._callbacks_left_out += 1
        return lines

    def _left_out(self) -> list[str]:
        counts = ((self._messages_left_out, "messages"), (self._callbacks_left_out, "callbacks"))
        self._messages_left_out = self._callbacks_left_out = 0
        told = " and ".join(f"{count:,} more {what}" for count, what in counts if count)
        return [f"              … and {told}"] if told else []

    def _line(self, at_utc_ms: int, event: str, message: StoredMessage, text: str) -> str:
        return f"{_clock(at_utc_ms)}  {event:<11}  {self._public(message.id):<16}  {text}".rstrip()

    def _public(self, message_id: int) -> str:
        return str(self._ids.publish(message_id, 1)[0])


def _paid(message: StoredMessage, balances: dict[int, int]) -> str:
    cost = exact(message.price_micros)
    balance = show_balance(balances.get(message.account_id, 0))
    return f"from {message.sender} to +{message.recipient}: stored, paid {cost}, balance {balance}"


def _clock(utc_ms: int) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(utc_ms / 1000))}.{utc_ms % 1000:03}"
