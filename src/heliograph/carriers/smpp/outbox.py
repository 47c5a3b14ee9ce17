"""What a carrier was given and has not written yet, and which bind it goes out on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from heliograph.carriers.interface import Submit
from heliograph.carriers.smpp.link import Link
from heliograph.carriers.smpp.pdu import Command


class Bind:
    """One link of a carrier, and what the carrier knows of it. `sends` is false for a receiver."""

    def __init__(self, link: Link, command: Command) -> None:
        self.link = link
        self.sends = command is not Command.BIND_RECEIVER
        self.outstanding = 0  # submits without an answer
        self.condemned = ""  # why nothing more goes out here: it is taken down once everything is answered
        self.reason = "not connected yet"  # why it is down
        self.is_fault = False

    @property
    def takes_submits(self) -> bool:
        """Whether something may be sent here, now or when there is room again."""
        return self.sends and self.link.up and not self.condemned


class Outbox:
    """Submits in their order. Parts of a message that follow one another go out on one bind, one after another."""

    def __init__(self, binds: Sequence[Bind]) -> None:
        self._binds = [bind for bind in binds if bind.sends]
        self._waiting: deque[Submit] = deque()
        self._last_message = -1
        self._last_bind = self._binds[0]

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, submits: Sequence[Submit]) -> None:
        """These come after what waits."""
        self._waiting.extend(submits)

    def take_all(self) -> list[Submit]:
        """Everything that waits, which now waits no more."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def pump(self, most: int, send: Callable[[Bind, list[Submit]], None]) -> int:
        """Give at most so many to `send`, in runs for one bind each; how many it was."""
        sent = 0
        while self._waiting and sent < most:
            bind = self._bind_of_first()
            if bind is None or (room := min(bind.link.room, most - sent)) <= 0:
                break
            run = self._run(room)
            self._last_message, self._last_bind = run[-1].submission.id, bind
            send(bind, run)
            sent += len(run)
        return sent

    def _bind_of_first(self) -> Bind | None:
        """That of the part before it, else the one with most room."""
        if len(self._binds) == 1:
            only = self._binds[0]
            return only if only.takes_submits else None
        last = self._last_bind
        if self._waiting[0].submission.id == self._last_message and last.takes_submits:
            return last
        return max((bind for bind in self._binds if bind.takes_submits), key=lambda bind: bind.link.room, default=None)

    def _run(self, room: int) -> list[Submit]:
        """The first of what waits: each bind's fair share. Among several binds it ends with a whole message, if it can:
        what comes after it does not have to wait for room on this one.
        """
        waiting, binds = self._waiting, len(self._binds)
        run = [waiting.popleft() for _ in range(min(room, -(-len(waiting) // binds)))]
        message = run[-1].submission.id
        if binds > 1 and waiting and waiting[0].submission.id == message != run[0].submission.id:
            while run[-1].submission.id == message:
                waiting.appendleft(run.pop())
        return run
