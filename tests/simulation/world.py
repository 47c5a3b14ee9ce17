"""A world for the engine to live and die in, all of it drawn from one seed.

Customers send; carriers take, refuse, throttle, lose and repeat; the disk fills up; the process is killed or stopped,
and started again. What customers were told and what carriers saw is kept here, apart from the engine; `judge` compares.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.simulation.rig import DIALECT, KEY, doubtful_parts, inbox, report, settle
from tests.simulation.stepped import SteppedStore

from heliograph.carriers.interface import CarrierEvents, CarrierState, Outcome, Receipt, Submit
from heliograph.kit.clock import ManualClock, Timer
from heliograph.kit.ids import PublicIds
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.numbers import NumberPolicy
from heliograph.messaging.operators import OperatorTable
from heliograph.messaging.pricing import PriceList
from heliograph.messaging.retry import DoubtPolicy, SubmitClass
from heliograph.messaging.routing import Routes
from heliograph.messaging.submissions import Order, Rules, Status
from heliograph.messaging.text import Text, split
from heliograph.service import dispatch, lane, receive
from heliograph.service.dispatch import Dispatch
from heliograph.service.receive import Receive
from heliograph.service.sequence import MessageIds
from heliograph.service.submit import Submit as Accepting
from heliograph.service.submit import Verdict
from heliograph.service.upkeep import Upkeep
from heliograph.store import interface as it

Part = tuple[int, int]
PRICES = {"": 1_000_000, "44": 250_000, "56": 35_000}
FORMS = ("usual", "usual", "whole", "halves")
TROUBLES = (
    SubmitClass.PERMANENT,
    SubmitClass.TEMPORARY,
    SubmitClass.AMBIGUOUS,
    SubmitClass.OTHER_ROUTE,
    SubmitClass.THROTTLED,
    SubmitClass.NOT_SENT,
    SubmitClass.LINK_FAULT,
    SubmitClass.UNKNOWN,
)
NOT_HANDED_OVER = (SubmitClass.NOT_SENT, SubmitClass.LINK_FAULT, SubmitClass.THROTTLED)
BAD = (ReceiptState.UNDELIVERABLE, ReceiptState.REJECTED, ReceiptState.EXPIRED, ReceiptState.DELETED)


class Broken(AssertionError):
    """A promise was broken."""


def promise(kept: object, what: str) -> None:
    if not kept:
        raise Broken(what)


class WorldClock(ManualClock):
    """Tells when something is due next."""

    def next_due(self) -> int | None:
        return self._timers[0][0] if self._timers else None


class LifeClock:
    """The clock of one process: its timers die with it."""

    def __init__(self, clock: WorldClock) -> None:
        self.clock = clock
        self.alive = True

    def now_utc_ms(self) -> int:
        return self.clock.now_utc_ms()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return self.clock.call_later(seconds, lambda: callback() if self.alive else None)

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self.call_later(seconds, woken.set)
        await woken.wait()


class Smsc:
    """The far end of a carrier: lives through the crashes of ours."""

    def __init__(self, world: World, name: str, window: int, doubt: DoubtPolicy, form: str) -> None:
        self.world = world
        self.form = form  # of long messages
        self.name = name
        self.window = window
        self.doubt = doubt
        self.link: Link | None = None
        self.wire: list[tuple[int, Submit]] = []  # life and hand-over
        self.seen: dict[int, int] = {}  # message and the life that handed it over first
        self.parts_seen: set[Part] = set()
        self.newest_first: Part = (0, 0)
        self.takes: Counter[Part] = Counter()
        self.told: dict[Part, list[ReceiptState]] = defaultdict(list)  # final ones, in order
        self.unanswered: set[int] = set()  # messages with a part whose answer was lost or unknown
        self.fates: dict[str, ReceiptState] = {}
        self.owed = 0
        self.silent: list[News] = []  # taken, and not told before everything else is over, if ever
        self.closed_until = 0  # it throttles everything
        self._refs = 0

    def bodies(self, text: Text) -> list[str]:
        """The parts of a long message here."""
        if self.form == "whole" or text.segments == 1:
            return [text.body]
        return split(text) if self.form == "usual" else [half for body in split(text) for half in _halves(body)]

    def parts_of(self, segments: int) -> int:
        """How many parts a message of so many segments is here."""
        return segments if self.form == "usual" or segments == 1 else 1 if self.form == "whole" else 2 * segments

    def take(self, part: Part) -> str:
        """The part is on its way to the phone; its receipts will be told until somebody has them."""
        self._refs += 1
        ref = f"{self.name}-{self._refs}"
        self.takes[part] += 1
        pick = self.world.pick
        if pick.random() < self.world.silence:
            self.silent.append(News(part, ref, ReceiptState.DELIVERED if pick.random() < 0.5 else pick.choice(BAD)))
            return ref
        finals = [ReceiptState.DELIVERED if pick.random() < 0.85 else pick.choice(BAD)]
        if pick.random() < 0.1:
            finals.insert(0, ReceiptState.UNKNOWN)
        at = 0 if pick.random() < 0.1 else pick.expovariate(1 / self.world.receipt_seconds)  # 0: before the answer
        if pick.random() < 0.2:
            self._tell_after(at * pick.random(), part, ref, pick.choice((ReceiptState.ENROUTE, ReceiptState.ACCEPTED)))
        for state in finals:
            self._tell_after(at, part, ref, state)
            at += 0.001 + pick.expovariate(0.2)
        return ref

    def speak_late(self) -> None:
        """About half of what it was silent about is told after all."""
        silent, self.silent = self.silent, []
        for news in silent:
            if self.world.pick.random() < 0.5:
                self._tell_after(self.world.pick.random(), news.part, news.ref, news.state)

    def _tell_after(self, seconds: float, part: Part, ref: str, state: ReceiptState) -> None:
        self.owed += 1
        news = News(part, ref, state)
        self.world.clock.call_later(seconds, lambda: self._tell(news))

    def _tell(self, news: News) -> None:
        pick = self.world.pick
        link = self.link

        def repeat() -> None:
            self.world.clock.call_later(0.5 + 3 * pick.random(), lambda: self._tell(news))

        if link is None or not link.up:
            repeat()
            return
        over = False

        def acknowledge(stored: bool) -> None:
            nonlocal over
            promise(not over, "a receipt was acknowledged twice")
            over = True
            if not stored:
                repeat()
                return
            if not news.stored:
                news.stored = True
                self.owed -= 1
                if news.state not in (ReceiptState.ENROUTE, ReceiptState.ACCEPTED):
                    self.told[news.part].append(news.state)
                    self.fates[news.ref] = news.state
            if self.world.faulty and pick.random() < 0.05:
                repeat()  # the acknowledgement was lost on the way

        def died() -> None:  # with the process that had it: told again
            nonlocal over
            if not over:
                over = True
                repeat()

        link.life.at_death.append(died)
        link.events.receipts([Receipt(news.ref, news.state)], acknowledge)


def _halves(body: str) -> tuple[str, str]:
    return body[: len(body) // 2], body[len(body) // 2 :]


class News:
    """A receipt on its way; `stored` once somebody has said that they have it."""

    def __init__(self, part: Part, ref: str, state: ReceiptState) -> None:
        self.part = part
        self.ref = ref
        self.state = state
        self.stored = False


class Link:
    """Our end of a carrier, for one life of the process."""

    def __init__(self, smsc: Smsc, life: Life) -> None:
        self.smsc = smsc
        self.life = life
        self.name = smsc.name
        self.window = smsc.window
        self.out: list[Submit] = []
        self.unwritten: list[Submit] = []  # of these, those that the link has not sent yet
        self.up = False
        self.stopped = False

    @property
    def open(self) -> bool:
        return self.up

    def cut(self) -> None:
        """The link is lost: what was written and not answered is unknown."""
        if not self.up:
            return
        self.up = False
        left, self.out = self.out, []
        unwritten, self.unwritten = self.unwritten, []
        ended = [self._lost(submit, written=submit not in unwritten) for submit in left]
        self.life.world.happened["cut off, not sent"] += len(unwritten)
        self.life.world.happened["cut off, unknown"] += len(left) - len(unwritten)
        if ended:
            self.events.outcomes(ended)
        self.events.changed(CarrierState.CONNECTING, "cut off")
        self.life.clock.call_later(self.life.world.pick.choice((0.001, 1.0, 30.0)), self._back)

    def _back(self) -> None:
        if not self.stopped:
            self.up = True
            self.events.changed(CarrierState.UP, "")

    def _lost(self, submit: Submit, *, written: bool) -> Outcome:
        if written:
            self.smsc.unanswered.add(submit.submission.id)
        return Outcome(submit, SubmitClass.UNKNOWN if written else SubmitClass.NOT_SENT, detail="cut off")

    async def start(self, events: CarrierEvents) -> None:
        self.events = events
        self.up = True
        self.smsc.link = self
        events.changed(CarrierState.UP, "")

    def bodies(self, text: Text) -> Sequence[str]:
        return self.smsc.bodies(text)

    async def stop(self) -> None:
        self.stopped = True
        self.up = False
        left, self.out = self.out, []
        unwritten, self.unwritten = self.unwritten, []
        if left:
            self.events.outcomes([self._lost(submit, written=submit not in unwritten) for submit in left])

    def query(self, refs: Sequence[str], senders: Sequence[str] = ()) -> None:
        known = [Receipt(ref, self.smsc.fates[ref]) for ref in refs if ref in self.smsc.fates]
        if known:
            self._report(known)

    def _report(self, known: list[Receipt]) -> None:
        def acknowledge(stored: bool) -> None:
            if not stored and self.up:
                self.life.clock.call_later(1, lambda: self._report(known))

        self.events.receipts(known, acknowledge)

    def submit(self, submits: Sequence[Submit]) -> None:
        promise(self.up and self.life.clock.alive, "a hand-over to a carrier that is not there")
        promise(self.smsc.link is self, "a hand-over to a carrier that was replaced")
        self.out += submits
        self._check(submits)
        batches: list[list[Submit]] = []
        for submit in submits:  # answers come one by one or together, with delays of their own
            if batches and self.life.world.pick.random() < 0.5:
                batches[-1].append(submit)
            else:
                batches.append([submit])
        self.unwritten += submits
        for batch in batches:
            self._write(batch)

    def _write(self, batch: list[Submit]) -> None:
        """At once, or a little later, as a carrier with a limited throughput does."""

        def write() -> None:
            mine = [submit for submit in batch if submit in self.unwritten]
            for submit in mine:
                self.unwritten.remove(submit)
            if mine:
                self._process(mine)

        if self.life.world.pick.random() < 0.7:
            write()
        else:
            self.life.clock.call_later(self.life.world.pick.expovariate(1 / self.life.world.answer_seconds), write)

    def _check(self, submits: Sequence[Submit]) -> None:
        smsc, store = self.smsc, self.life.store
        promise(len(self.out) <= self.window, f"{len(self.out)} on the wire, the window is {self.window}")
        doubtful = doubtful_parts(store, self.life.carrier_ids[self.name], smsc.parts_of)
        promise(doubtful <= self.window, f"a crash now would leave {doubtful} in doubt, the window is {self.window}")
        marks = store.ask("SELECT number, part FROM mark WHERE carrier_id = ?", self.life.carrier_ids[self.name])
        now = self.life.clock.now_utc_ms()
        for one in submits:
            part = (one.submission.id, one.part)
            promise(now < one.submission.request.expires_utc_ms, f"{part} is on the wire after its validity")
            promise(now >= one.submission.request.send_at_utc_ms, f"{part} is on the wire before its time")
            promise((one.submission.number, one.part) <= marks[0], f"{part} is on the wire and above the mark")
            found = store.ask("SELECT status FROM message WHERE id = ?", part[0])
            promise(found, f"{part} was never accepted")
            promise(found != [(Status.CANCELLED,)], f"{part} is on the wire and was cancelled")
            # A message that an earlier life handed over in part is sent again whole.
            again = smsc.seen.setdefault(part[0], self.life.number) != self.life.number
            if one.submission.number == part[0] and part not in smsc.parts_seen and not again:
                promise(part > smsc.newest_first, f"{part} was first handed over after {smsc.newest_first}")
                smsc.newest_first = part
            smsc.parts_seen.add(part)
            smsc.wire.append((self.life.number, one))

    def _process(self, batch: list[Submit]) -> None:
        world, smsc = self.life.world, self.smsc
        pick = world.pick
        outcomes: list[Outcome] = []
        for submit in batch:
            part = (submit.submission.id, submit.part)
            result = SubmitClass.TAKEN
            if world.faulty and world.clock.now_utc_ms() < smsc.closed_until:
                result = SubmitClass.THROTTLED
            elif world.faulty and pick.random() < world.trouble:
                result = pick.choice(TROUBLES)
            ref = ""
            if result is SubmitClass.TAKEN or (result is SubmitClass.UNKNOWN and pick.random() < 0.5):
                ref = smsc.take(part)
            if result is SubmitClass.UNKNOWN:
                smsc.unanswered.add(part[0])
            outcomes.append(Outcome(submit, result, ref if result is SubmitClass.TAKEN else "", result.value))
        pick.shuffle(outcomes)

        def answer() -> None:
            mine = [outcome for outcome in outcomes if outcome.submit in self.out]
            for outcome in mine:
                self.out.remove(outcome.submit)
            if mine and self.up:
                self.events.outcomes(mine)

        self.life.clock.call_later(pick.expovariate(1 / world.answer_seconds), answer)


class Asked:
    """A request of a customer, and what they know of it."""

    def __init__(self, account_id: int, recipients: list[str], life: Life) -> None:
        self.account_id = account_id
        self.recipients = recipients
        self.life = life
        self.answer: Any = None


class Life:
    """One run of the server."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.clock = LifeClock(world.clock)
        self.at_death: list[Callable[[], None]] = []
        self.fatal: list[it.StoreError] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.carrier_ids: dict[str, int] = {}
        self.changing = {smsc.name for smsc in world.smscs}  # carriers that are not in the lanes for good
        self.serving = False
        self.store = SteppedStore(
            world.folder, later=self._later, pause=self._pause, on_fatal=self.fatal.append, max_waiting_rows=60
        )
        self.store.fault = self._fault
        public = PublicIds(KEY)
        self.receive = Receive(self.store, report, inbox, self.clock)
        self.ids = MessageIds(self.store, public, block=world.block)
        self.dispatch = Dispatch(self.store, self.ids, self.receive, self.clock, world.intermediate)

    def _later(self, step: Callable[[], None]) -> None:
        self.clock.call_later(self.world.pick.expovariate(1 / self.world.commit_seconds), step)

    async def _pause(self) -> None:
        if self.world.pick.random() < 0.5:
            await self.clock.sleep(self.world.pick.expovariate(1 / self.world.commit_seconds))

    def _fault(self, ops: Sequence[it.Op[Any]]) -> it.StoreError | None:
        world = self.world
        if not world.faulty:
            return None
        if world.disk_full or world.pick.random() < 0.02:
            return it.Unavailable("disk full")
        if world.pick.random() < 0.004:
            self.store.uncertain_is_stored = world.pick.random() < 0.5
            return it.Uncertain("who knows")
        return None

    async def open(self) -> None:
        world = self.world
        await self.store.open()
        await self.ids.start()
        for ref, settings in world.customers.items():
            account = self.store.look(lambda reads, ref=ref: reads.account(ref))
            if account is None:
                fresh = Account(
                    id=0, ref=ref, name=ref, email="", senders=None, numbers=NumberPolicy.SYNTAX, **settings["account"]
                )
                account = await self.store.apply(it.CreateAccount(fresh, [], settings["balance"]))
            world.accounts[account.id] = account
            if account.intermediate:
                world.intermediate.add(account.id)
        routes = Routes(self.dispatch.routes(), "one")
        self.dispatch.after = routes.after
        for smsc in world.smscs:
            self.carrier_ids[smsc.name] = await self.store.apply(it.RegisterCarrier(smsc.name))
            world.check_doubt(self, smsc)
            if world.faulty and world.pick.random() < 0.1:
                await self.dispatch.hold(smsc.name, world.backlog)
                self.tasks.append(asyncio.get_running_loop().create_task(self.run_again(smsc)))
            else:
                await self.add(smsc)
                self.changing.discard(smsc.name)
        rules = Rules({"default": PriceList(PRICES)}, OperatorTable({}, {}), routes, 1000, 10)
        self.accepting = Accepting(self.store, self.dispatch, self.ids, rules, report, self.clock)
        for work in (self.dispatch.follow(), Upkeep(self.store, self.clock).follow()):
            self.tasks.append(asyncio.get_running_loop().create_task(work))
        self.serving = True

    async def add(self, smsc: Smsc) -> None:
        await self.dispatch.add(Link(smsc, self), doubt=smsc.doubt, max_waiting=self.world.backlog)

    async def run_again(self, smsc: Smsc) -> None:
        """A carrier that rests runs again after a while; it is tried again until it does."""
        await self.clock.sleep(self.world.pick.choice((0.001, 0.3, 20.0)))
        await self._until_done(lambda: self.add(smsc))
        self.world.happened["carrier added live"] += 1
        self.changing.discard(smsc.name)

    async def replace(self, smsc: Smsc) -> None:
        """A carrier is stopped by command, and started again."""
        seconds = self.world.pick.choice((0.0, 0.1, 10.0))
        await self._until_done(lambda: self.dispatch.remove(smsc.name, seconds))
        self.world.check_doubt(self, smsc, stopped=True)
        await self.run_again(smsc)

    async def _until_done(self, change: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await change()
            except (it.StoreError, errors.OurFault):
                await self.clock.sleep(0.5)
            else:
                return

    def die(self) -> None:
        """`kill -9`."""
        self.serving = False
        self.clock.alive = False
        for task in [*self.tasks, *self.dispatch._claims.values()]:
            task.cancel()
        for smsc in self.world.smscs:
            link = smsc.link
            if link is not None and link.life is self:
                smsc.unanswered.update(submit.submission.id for submit in link.out)
                smsc.link = None
        self.store.crash()
        for told in self.at_death:
            told()

    async def stop(self) -> None:
        """SIGTERM."""
        self.serving = False
        self.accepting.draining = True
        for task in self.tasks:
            task.cancel()
        await self.dispatch.stop()
        await self.store.close()
        self.clock.alive = False
        for smsc in self.world.smscs:
            smsc.link = None
        for told in self.at_death:
            told()


class World:
    """Everything that a seed decides."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.pick = pick = Random(seed)
        self.folder = folder
        self.clock = WorldClock()
        self.faulty = True
        self.disk_full = False
        self.trouble = pick.choice((0.0, 0.05, 0.2, 0.5))
        self.silence = pick.choice((0.0, 0.0, 0.1))
        self.closings = pick.choice((0, 0, 2, 5))
        self.later = pick.choice((0.0, 0.1, 0.5))
        self.regrets = pick.choice((0, 3, 30))
        self.crashes = pick.choice((0, 1, 3, 6))
        self.cuts = pick.choice((0, 3, 10))
        self.replacements = pick.choice((0, 0, 2, 6))
        self.commit_seconds = pick.choice((0.001, 0.02, 0.3))
        self.answer_seconds = pick.choice((0.002, 0.05, 1.0))
        self.receipt_seconds = pick.choice((0.001, 0.3, 20.0))
        self.block = pick.choice((64, 100, 5000))
        self.backlog = pick.choice((20, 1000))
        self.requests = pick.choice((5, 20, 50))
        self.rhythm = pick.choice((0.001, 0.1, 2.0))
        self.constants = {
            (lane, "QUEUE_PARTS"): pick.choice((4, 16, 10_000)),
            (lane, "CLAIM_MESSAGES"): pick.choice((1, 3, 2_000)),
            (lane, "LAPSE_MESSAGES"): pick.choice((1, 3, 1_000)),
            (dispatch, "_DUE_AT_ONCE"): pick.choice((2, 500)),
            (dispatch, "_LOOK_AT"): pick.choice((1, 7, 2_000)),
            (dispatch, "_END_AT_ONCE"): pick.choice((1, 500)),
            (receive, "REFS_IN_MEMORY"): pick.choice((3, 30, 100_000)),
            (receive, "REFS_IN_RUN"): pick.choice((2, 20_000)),
        }
        hold = DoubtPolicy.HOLD if pick.random() < 0.3 else DoubtPolicy.RESEND
        window = pick.choice((6, 7, 20, 100))  # no message has more parts than six
        self.smscs = [
            Smsc(self, "one", window, hold, pick.choice(FORMS)),
            Smsc(self, "two", pick.choice((4, 30)), DoubtPolicy.RESEND, pick.choice(FORMS)),
        ]
        short = {"validity_seconds": pick.choice((20, 60))}
        self.customers: dict[str, dict[str, Any]] = {
            "rich": {"account": {"carrier": "one"}, "balance": 10**12},
            "poor": {"account": {"carrier": pick.choice(("one", "two"))}, "balance": pick.randrange(10**7)},
            "choosy": {"account": {"carrier": "two"}, "balance": 10**12},
            "hasty": {"account": {"carrier": "one", "intermediate": True, **short}, "balance": 10**12},
        }
        self.intermediate: set[int] = set()
        self.happened: Counter[str] = Counter()
        self.accounts: dict[int, Account] = {}
        self.asked: list[Asked] = []
        self.cancelled: set[int] = set()  # what customers were told is cancelled
        self.cancelling: list[asyncio.Task[None]] = []
        self.life: Life | None = None
        self.lives = 0
        self.doubts: list[tuple[str, int]] = []

    # -- what happens

    async def run(self) -> None:
        """Trouble first, then peace until everything has come to its end, then the judgement."""
        with self._patched():
            await self._start()
            actions = [self._ask] * self.requests + [self._interrupt] * self.crashes + [self._turn_disk] * 4
            actions += [self._close] * self.closings + [self._regret] * self.regrets
            actions += [self._cut] * self.cuts + [self._replace] * self.replacements
            self.pick.shuffle(actions)
            for action in actions:
                await self._pass(self.pick.expovariate(1 / self.rhythm))
                await action()
                await self._recover()
            self.faulty = self.disk_full = False
            await self._pass(2)
            await self._recover()
            await self._until_quiet()
            await self._grow_old()
            await self._judge()

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for (module, name), value in self.constants.items():
                patch.setattr(module, name, value)
            yield

    async def _start(self) -> None:
        """Start the server, again and again if need be; it may be killed while it starts."""
        for attempt in range(100):
            self.lives += 1
            self.life = life = Life(self, self.lives)
            starting = asyncio.ensure_future(life.open())
            patience = self.pick.expovariate(1 / self.commit_seconds) * 10 if self.pick.random() < 0.1 else 1e9
            hurry = attempt > 5
            until = self.clock.now_utc_ms() + 1000 * (1e9 if hurry or not self.faulty else patience)
            await settle()
            while not starting.done() and self.clock.now_utc_ms() < until and not life.fatal:
                await self._step()
            if starting.done() and starting.exception() is None:
                return
            if starting.done() and not isinstance(starting.exception(), it.StoreError | errors.OurFault):
                starting.result()
            starting.cancel()
            life.die()
            await settle()
            if hurry:
                self.disk_full = False
        raise Broken("the server does not start")

    async def _recover(self) -> None:
        assert self.life is not None
        if self.life.fatal:
            promise(len(self.life.fatal) == 1, "the process was told twice to stop")
            self.life.die()
            await settle()
            await self._start()

    async def _step(self, until: int | None = None) -> None:
        """To the next moment at which something is due."""
        due = self.clock.next_due()
        now = self.clock.now_utc_ms()
        at = min(x for x in (due, until, now + 1000) if x is not None)
        self.clock.advance(max(0, at - now) / 1000)
        await settle()

    async def _pass(self, seconds: float) -> None:
        until = self.clock.now_utc_ms() + round(1000 * seconds)
        while self.clock.now_utc_ms() < until:
            await self._step(until)
        await settle()

    async def _ask(self) -> None:
        """A customer sends; some send a burst."""
        life = self.life
        assert life is not None
        pick = self.pick
        for _ in range(pick.choice((1, 1, 1, 5))):
            account = pick.choice(list(self.accounts.values()))
            recipients = [
                pick.choice(("56912345678", "447700900123", "12025550123")) for _ in range(pick.choice((1, 1, 2, 9)))
            ]
            text = "x" * pick.choice((5, 5, 5, 200, 400, 600))
            send_at = self.clock.now_utc_ms() + pick.choice((1, 5_000, 40_000)) if pick.random() < self.later else 0
            asked = Asked(account.id, recipients, life)

            def answered(answer: Any, asked: Asked = asked) -> None:
                promise(asked.answer is None, "answered twice")
                promise(asked.life.clock.alive, "answered by a dead process")
                asked.answer = answer

            self.asked.append(asked)
            try:
                if pick.random() < 0.2:
                    orders = [Order([one], "96000", text, 0, send_at_utc_ms=send_at) for one in recipients]
                    life.accepting.batch(account, orders, DIALECT, answered)
                else:
                    order = Order(recipients, "96000", text, 0, send_at_utc_ms=send_at)
                    life.accepting(account, order, DIALECT, answered)
            except (errors.CarrierError, errors.OurFault) as error:
                asked.answer = error

    async def _interrupt(self) -> None:
        assert self.life is not None
        if self.pick.random() < 0.3 and not self.disk_full:
            stopping = asyncio.ensure_future(self.life.stop())
            until = self.clock.now_utc_ms() + 60_000
            while not stopping.done():
                promise(self.clock.now_utc_ms() < until, "the server does not stop")
                await self._step()
                if self.life.fatal:
                    stopping.cancel()
                    self.life.die()
                    break
            else:
                stopping.result()
        else:
            self.life.die()
        await settle()
        await self._start()

    async def _close(self) -> None:
        """A carrier takes nothing for a while, so that messages lapse wherever they wait."""
        smsc = self.pick.choice(self.smscs)
        smsc.closed_until = self.clock.now_utc_ms() + 1000 * self.pick.choice((5, 40, 120))
        await self._ask()
        await self._pass(self.pick.choice((0.1, 30, 70)))

    async def _regret(self) -> None:
        """Customers cancel some of what they sent lately, some of it twice."""
        assert self.life is not None
        answers = [asked.answer for asked in self.asked[-6:] if isinstance(asked.answer, list)]
        public = PublicIds(KEY)
        ids = [
            public.resolve(one.public_id)
            for answer in answers
            for one in answer
            if isinstance(one, Verdict) and one.public_id
        ]
        for _ in range(self.pick.choice((1, 1, 3, 20)) if ids else 0):
            cancelling = self._cancel(self.life, self.pick.choice(ids))
            self.cancelling.append(asyncio.get_running_loop().create_task(cancelling))
        await settle()

    async def _cancel(self, life: Life, message_id: int) -> None:
        try:
            message = await life.store.read(lambda reads: reads.message(message_id))
            if await life.dispatch.cancel(message):
                promise(message_id not in self.cancelled, f"message {message_id} was cancelled twice")
                self.cancelled.add(message_id)
        except (it.StoreError, errors.OurFault):
            self.happened["not cancelled, for a fault"] += 1

    async def _cut(self) -> None:
        """A link is lost, and comes back by itself."""
        link = self.pick.choice(self.smscs).link
        if link is not None:
            link.cut()

    async def _replace(self) -> None:
        """The operator stops a carrier and starts it again; much may happen in between."""
        assert self.life is not None
        smsc = self.pick.choice(self.smscs)
        if smsc.name not in self.life.changing:
            self.life.changing.add(smsc.name)
            self.life.tasks.append(asyncio.get_running_loop().create_task(self.life.replace(smsc)))

    async def _turn_disk(self) -> None:
        self.disk_full = not self.disk_full

    def check_doubt(self, life: Life, smsc: Smsc, *, stopped: bool = False) -> None:
        """After a crash, or the stop of the carrier: what is in doubt is not more than the window."""
        count = doubtful_parts(life.store, life.carrier_ids[smsc.name], smsc.parts_of)
        promise(count <= smsc.window, f"{count} parts in doubt after a crash, the window is {smsc.window}")

    async def _until_quiet(self) -> None:
        until = self.clock.now_utc_ms() + 3600 * 1000
        while True:
            assert self.life is not None
            await self._pass(5)
            await self._recover()
            silent = {news.part[0] for smsc in self.smscs for news in smsc.silent}
            open_ = self.life.store.ask("SELECT id, status FROM message WHERE status < 2")
            left = [(id_, status) for id_, status in open_ if status == Status.PENDING or id_ not in silent][:3]
            out = any(smsc.link.out for smsc in self.smscs if smsc.link is not None)
            if not left and not out and not self.life.changing and not any(smsc.owed for smsc in self.smscs):
                await self._pass(5)
                return
            promise(
                self.clock.now_utc_ms() < until,
                f"an hour after the last fault messages have no final state, such as {left}; receipts owed"
                f" {[smsc.owed for smsc in self.smscs]}",
            )

    async def _grow_old(self) -> None:
        """Three days pass; what the carriers were silent about is given up, and then some of it is told after all."""
        if not any(smsc.silent for smsc in self.smscs):
            return
        self.clock.advance(73 * 3600)
        await self._until(lambda: self._open_messages() == 0, "a message is waited for after three days")
        if self.pick.random() < 0.5:
            await self._interrupt()
        for smsc in self.smscs:
            smsc.speak_late()
        await self._until(lambda: not any(smsc.owed for smsc in self.smscs), "late receipts are not taken")

    def life_carrier(self, message: it.StoredMessage) -> str:
        """The name of the carrier that has a message now."""
        assert self.life is not None
        return next(name for name, id_ in self.life.carrier_ids.items() if id_ == message.carrier_id)

    def _open_messages(self) -> int:
        assert self.life is not None
        return int(self.life.store.ask("SELECT count(*) FROM message WHERE status < 2")[0][0])

    async def _until(self, done: Callable[[], bool], what: str) -> None:
        until = self.clock.now_utc_ms() + 3600 * 1000
        while not done():
            promise(self.clock.now_utc_ms() < until, what)
            await self._pass(5)

    async def _judge(self) -> None:
        from tests.simulation.judge import judge

        assert self.life is not None
        while await self._applied(it.ListMessages(7)):
            pass
        for cancelling in self.cancelling:
            if cancelling.done():
                cancelling.result()
            else:
                cancelling.cancel()  # its process died
        judge(self, self.life)
        self.life.die()
        await settle()

    async def _applied(self, op: it.Op[Any]) -> Any:
        assert self.life is not None
        applied = asyncio.ensure_future(self.life.store.apply(op))
        while not applied.done():
            await self._step()
        return applied.result()
