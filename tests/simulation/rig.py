"""The engine without its faces: a store on disk, the services, and a carrier that does what a test tells it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.simulation.stepped import SteppedStore

from heliograph.carriers.interface import CarrierEvents, CarrierState, Inbound, Outcome, Receipt, Submit
from heliograph.kit.clock import ManualClock
from heliograph.kit.ids import PublicIds
from heliograph.messaging.accounts import Account
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.retry import DoubtPolicy, SubmitClass
from heliograph.messaging.submissions import Request, Status, Submission
from heliograph.messaging.text import Encoding, Text, split
from heliograph.service.dispatch import Dispatch
from heliograph.service.receive import Receive
from heliograph.service.sequence import MessageIds
from heliograph.store import interface as it

PRICE = 1_000_000
KEY = bytes(range(32))
DIALECT = 1


async def settle() -> None:
    """Return once the loop has nothing left to do but what waits for the clock."""
    loop: Any = asyncio.get_running_loop()
    await asyncio.sleep(0)
    while loop._ready:
        await asyncio.sleep(0)


def text_of(segments: int) -> Text:
    """A text of so many parts."""
    return Text("x" * (153 * segments if segments > 1 else 5), Encoding.GSM7, segments)


def request_of(
    first: int,
    account_id: int,
    segments: int = 1,
    *,
    at_utc_ms: int = 1,
    lives_ms: int = 1 << 50,
    send_at_utc_ms: int = 0,
) -> Request:
    expires = (send_at_utc_ms or at_utc_ms) + lives_ms
    return Request(first, account_id, DIALECT, "96000", text_of(segments), at_utc_ms, expires, send_at_utc_ms)


def report(ended: Sequence[it.Ended]) -> list[it.CallbackDraft | None]:
    """A callback for every end, whose body tells it."""
    return [it.CallbackDraft("dlr", f"{one.message_id} {one.status.name}".encode()) for one in ended]


def inbox(carrier_id: int, message: Inbound, now_utc_ms: int) -> it.InboundDraft:
    """Every message from a phone is nobody's."""
    return it.InboundDraft(carrier_id, 0, message.sender, message.recipient, message.text, now_utc_ms)


class ScriptedCarrier:
    """Takes what it is given and answers when told to. `look` is called with every hand-over before it is noted."""

    def __init__(self, name: str = "scripted", window: int = 10) -> None:
        self.name = name
        self.window = window
        self.sent: list[Submit] = []
        self.out: list[Submit] = []
        self.open = True
        self.stopped = False
        self.cut = split  # how a long message is cut into parts
        self.asked: list[str] = []
        self.fates: dict[str, ReceiptState] = {}
        self.look: Callable[[Sequence[Submit]], None] = lambda submits: None
        self.most_open = 0

    async def start(self, events: CarrierEvents) -> None:
        self.events = events
        self.stopped = False
        if self.open:
            events.changed(CarrierState.UP, "")

    async def stop(self) -> None:
        self.stopped = True
        self.answer(*[SubmitClass.UNKNOWN] * len(self.out))

    def bodies(self, text: Text) -> Sequence[str]:
        return self.cut(text)

    def submit(self, submits: Sequence[Submit]) -> None:
        assert not self.stopped, "a hand-over to a carrier that was stopped"
        self.look(submits)
        self.sent += submits
        self.out += submits
        self.most_open = max(self.most_open, len(self.out))

    def query(self, refs: Sequence[str], senders: Sequence[str] = ()) -> None:
        self.asked += refs
        known = [(ref, self.fates[ref]) for ref in refs if ref in self.fates]
        if known:
            self._tell_until_stored([Receipt(*one) for one in known])

    def _tell_until_stored(self, receipts: Sequence[Receipt]) -> None:
        def acknowledge(stored: bool) -> None:
            if not stored:
                asyncio.get_running_loop().call_soon(self._tell_until_stored, receipts)

        self.events.receipts(receipts, acknowledge)

    # -- for the test

    def go_down(self) -> None:
        """The link is gone: what is out was written and not answered."""
        self.open = False
        self.answer(*[SubmitClass.UNKNOWN] * len(self.out))
        self.events.changed(CarrierState.CONNECTING, "the link was cut")

    def come_up(self) -> None:
        self.open = True
        self.events.changed(CarrierState.UP, "")

    @property
    def wire(self) -> list[tuple[int, int]]:
        """Message and part of everything handed over, in order."""
        return [(one.submission.id, one.part) for one in self.sent]

    def answer(self, *results: SubmitClass, at: int = 0) -> None:
        """The submits that have been open longest end like this, in one report; `at` skips some."""
        ended, self.out[at : at + len(results)] = self.out[at : at + len(results)], []
        assert len(ended) == len(results), "fewer submits are open than the test believes"
        self.events.outcomes(
            [
                Outcome(submit, result, f"ref-{submit.submission.id}-{submit.part}", result.value)
                for submit, result in zip(ended, results, strict=True)
            ]
        )

    def take_all(self) -> None:
        """Take everything that is open."""
        self.answer(*[SubmitClass.TAKEN] * len(self.out))

    def tell(self, *told: tuple[str, ReceiptState]) -> list[bool]:
        """Deliver receipts in one batch; the list gets what they were answered."""
        answered: list[bool] = []
        self.events.receipts([Receipt(ref, state) for ref, state in told], answered.append)
        return answered


class Rig:
    """One life of the engine over a data folder. The clock outlives it."""

    def __init__(self, folder: Path, clock: ManualClock | None = None, *, store: SteppedStore | None = None) -> None:
        self.folder = folder
        self.clock = clock or ManualClock()
        self.fatal: list[it.StoreError] = []
        self.store = store or SteppedStore(folder, on_fatal=self.fatal.append)
        self.receive = Receive(self.store, report, inbox, self.clock)
        self.ids = MessageIds(self.store, PublicIds(KEY))
        self.intermediate: set[int] = set()
        self.dispatch = Dispatch(self.store, self.ids, self.receive, self.clock, self.intermediate)
        self.tasks: list[asyncio.Task[None]] = []

    async def open(
        self,
        *carriers: ScriptedCarrier,
        doubt: DoubtPolicy = DoubtPolicy.RESEND,
        max_waiting: int = 1_000_000,
        balance: int = 1_000_000 * PRICE,
    ) -> Rig:
        await self.store.open()
        await self.ids.start()
        known = self.store.look(lambda reads: reads.account("demo"))
        fresh = Account(id=0, ref="demo", name="Demo", email="demo@example.net")
        self.account = known or await self.store.apply(it.CreateAccount(fresh, [], balance))
        for carrier in carriers:
            await self.dispatch.add(carrier, doubt=doubt, max_waiting=max_waiting)
        self.tasks.append(asyncio.get_running_loop().create_task(self.dispatch.follow()))
        await settle()
        return self

    def crash(self) -> None:
        for task in [*self.tasks, *self.dispatch._claims.values()]:
            task.cancel()
        self.store.crash()

    def drafts(
        self,
        count: int = 1,
        segments: int = 1,
        *,
        price: int = PRICE,
        carrier: str = "scripted",
        lives_ms: int = 1 << 50,
        send_in_ms: int = 0,
    ) -> it.Accept:
        """A request with numbers of this run."""
        first = self.ids.number(count)
        now = self.clock.now_utc_ms()
        send_at = now + send_in_ms if send_in_ms else 0
        request = request_of(first, self.account.id, segments, at_utc_ms=now, lives_ms=lives_ms, send_at_utc_ms=send_at)
        carrier_id = self.dispatch.routes()[carrier]
        return it.Accept(
            request,
            [
                Submission(number, request, "56912345678", price, carrier_id, 0, 0, number)
                for number in range(first, first + count)
            ],
        )

    def send(self, count: int = 1, segments: int = 1, **how: Any) -> tuple[list[int], list[Any]]:
        """Submit a request; its ids, and a list that gets the store's answer."""
        accept = self.drafts(count, segments, **how)
        answers: list[Any] = []
        self.store.submit(accept, answers.append, count)
        return [one.id for one in accept.submissions], answers

    async def accept(self, count: int = 1, segments: int = 1, **how: Any) -> list[int]:
        """Submit a request and let everything settle; its ids."""
        ids, answers = self.send(count, segments, **how)
        await settle()
        assert answers, "the store did not answer"
        return ids

    async def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass, with everything settled at every step."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
            await settle()

    # -- what is on disk

    def message(self, message_id: int) -> it.StoredMessage:
        found = self.store.look(lambda reads: reads.message(message_id))
        assert found is not None
        return found

    def status(self, message_id: int) -> Status:
        return self.message(message_id).status

    def events_of(self, message_id: int) -> list[str]:
        return [event.event for event in self.store.look(lambda reads: reads.events(message_id))]

    def told(self, message_id: int) -> list[tuple[str, str]]:
        """The status that each callback tells, and the callback's state."""
        found = self.store.look(lambda reads: reads.callbacks_of(message_id))
        return [(one.body.decode().split()[1], one.state) for one in found]

    def balance(self) -> int:
        return self.store.look(lambda reads: reads.balance(self.account.id))

    def mark(self, carrier_id: int = 1) -> tuple[int, int]:
        rows = self.store.ask("SELECT number, part FROM mark WHERE carrier_id = ?", carrier_id)
        return rows[0] if rows else (0, 0)

    def in_doubt(self, carrier_id: int = 1) -> int:
        """Parts that may be on the wire for all that the disk knows."""
        return doubtful_parts(self.store, carrier_id)


def doubtful_parts(
    store: SteppedStore, carrier_id: int, parts_of: Callable[[int], int] = lambda segments: segments
) -> int:
    """How many parts the disk would leave in doubt if the process ended now, by a count of its own. `parts_of` says in
    how many parts so many segments travel.
    """
    marks = store.ask("SELECT number, part FROM mark WHERE carrier_id = ?", carrier_id)
    if not marks:
        return 0
    number, part = marks[0]
    rows = store.ask(
        "SELECT coalesce(r.number, m.id), q.segments, (SELECT group_concat(part) FROM part p WHERE p.message_id = m.id)"
        " FROM message m JOIN request q ON q.id = m.request_id LEFT JOIN retry r ON r.message_id = m.id"
        " WHERE m.carrier_id = ? AND m.status = 0 AND NOT (r.message_id IS NOT NULL AND r.number IS NULL)"
        " AND coalesce(r.number, m.id) <= ?",
        carrier_id,
        number,
    )
    count = 0
    for at, segments, taken in rows:
        known = {int(one) for one in taken.split(",")} if taken else set()
        count += sum(1 for one in range(1, parts_of(segments) + 1) if one not in known and (at, one) <= (number, part))
    return count


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario; what goes wrong in a callback of the loop fails it too."""
    wrong: list[BaseException] = []

    async def watched() -> None:
        def on_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            wrong.append(context.get("exception") or RuntimeError(context["message"]))

        asyncio.get_running_loop().set_exception_handler(on_error)
        await scenario

    try:
        asyncio.run(watched())
    finally:
        if wrong:
            raise wrong[0]


def increasing(values: Iterable[int]) -> bool:
    """Whether each is higher than the one before."""
    return all(a < b for a, b in itertools.pairwise(values))
