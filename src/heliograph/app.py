"""The composition root: picks the store, the carriers and the clock, starts everything in order and stops it in the
reverse.

Nothing else imports a store engine or a carrier.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from heliograph.api.figures import Engine
from heliograph.api.services import Services
from heliograph.carriers.interface import Carrier
from heliograph.carriers.settings import CarrierSettings, SmppSettings
from heliograph.carriers.simulator import FATES, Fate, Simulator
from heliograph.carriers.smpp import SmppCarrier
from heliograph.carriers.smpp.letter import send_one as send_one  # for `heliograph carrier test`
from heliograph.carriers.smpp.smsc import Ids, Notice, Receipts, SmscOptions, status_of
from heliograph.carriers.smpp.smsc import Smsc as Smsc  # for `heliograph smsc`
from heliograph.carriers.smpp.trial import Step as Step
from heliograph.carriers.smpp.trial import try_once as try_once
from heliograph.config import Settings
from heliograph.dialects import realtime, sms747
from heliograph.kit.clock import Clock, SystemClock
from heliograph.kit.ids import PublicIds
from heliograph.kit.keys import load_or_create
from heliograph.kit.log import AccessLog, open_log
from heliograph.kit.recent import RecentCalls
from heliograph.messaging.errors import OurFault
from heliograph.messaging.numbers import NumberPolicy, normalise
from heliograph.messaging.operators import OperatorTable
from heliograph.messaging.pricing import PriceList, parse_money
from heliograph.messaging.submissions import Rules
from heliograph.service.accounts import CredentialKind, Directory, Tokens
from heliograph.service.cancel import Cancel
from heliograph.service.carriers import Carriers
from heliograph.service.commits import Commits
from heliograph.service.dispatch import Dispatch
from heliograph.service.idempotency import Idempotency
from heliograph.service.inbox import Inbox
from heliograph.service.journal import Journal
from heliograph.service.limits import Limits
from heliograph.service.notify import Notify
from heliograph.service.query import Query
from heliograph.service.receive import Receive
from heliograph.service.report import Report
from heliograph.service.sequence import MessageIds
from heliograph.service.submit import Submit
from heliograph.service.upkeep import Upkeep
from heliograph.store.interface import LeaseIds, Op, Store, StoreError
from heliograph.store.maintenance import Maintenance
from heliograph.store.sqlite import SqliteStore
from heliograph.store.sqlite.maintenance import SqliteMaintenance
from heliograph.webhooks.sender import Sender

_log = logging.getLogger(__name__)
EXIT_STORE_FAILED = 70
_STORE_SECONDS = 15.0  # for the last commits, should the store be locked: three times as long as one waits
_HURRIED_SECONDS = 0.5  # for what must be stored when nobody wants to wait any more


class App:
    """A running Heliograph without its HTTP server: `services` is what the faces are made of."""

    def __init__(
        self, settings: Settings, *, clock: Clock | None = None, on_fatal: Callable[[StoreError], None] | None = None
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        folder = Path(settings.data.dir)
        self.keys = load_or_create(folder)
        self.ids = PublicIds(self.keys.ids)
        self.operators = load_operators()
        self.store: Store = SqliteStore(
            folder,
            exclusive=True,
            fingerprint=self.keys.fingerprint(),
            max_waiting_rows=settings.limits.waiting_rows,
            on_fatal=on_fatal or _exit,
        )
        self.commits = Commits(self.store)  # the first hook
        self.directory = Directory(self.store)
        # The report runs on the store's writer thread, hence a cipher of its own.
        self.report = Report(
            self.directory,
            PublicIds(self.keys.ids),
            {realtime.DIALECT: realtime.dlr_body},
            {sms747.DIALECT: sms747.status_body(settings.messages.currency)},
        )
        self.receive = Receive(
            self.store, self.report, Inbox(self.directory, realtime.mo_body), self.clock, self.operators
        )
        self.message_ids = MessageIds(self.store, self.ids)
        self.dispatch = Dispatch(self.store, self.message_ids, self.receive, self.clock, self.directory.intermediate)
        self.carriers = Carriers(
            self.store,
            self.keys,
            self.dispatch,
            self.clock,
            self._carrier,
            configured=settings.carriers,
            default=settings.messages.default_carrier,
            max_segments=settings.limits.segments,
            stop_seconds=settings.messages.stop_seconds,
        )
        self.sender = Sender(
            timeout_seconds=settings.callbacks.timeout_seconds,
            allow_networks=settings.callbacks.allow_networks,
            limit=settings.callbacks.in_flight,
        )
        self.notify = Notify(
            self.store,
            self.directory,
            self.keys,
            self.ids,
            self.sender,
            self.clock,
            in_flight=settings.callbacks.in_flight,
            in_flight_per_endpoint=settings.callbacks.in_flight_per_endpoint,
        )
        self.upkeep = Upkeep(self.store, self.clock)
        self.journal = Journal(self.store, self.clock)
        self.recent = RecentCalls(folder)
        write_log = open_log(settings.log.file, settings.log.level)
        self.access = AccessLog(write_log) if settings.log.access else None
        self._tasks: list[asyncio.Task[None]] = []
        self._started = False
        self._draining = False
        self._hurry = asyncio.Event()
        self._store_problem = ""
        self.store.add_hook(self.report)
        self.store.add_hook(self)

    async def start(self) -> None:
        """Open the store, recover, connect the carriers, begin the background work."""
        await self.store.open()
        await self.message_ids.start()
        await self.directory.refresh()
        await self.carriers.start()
        self.services = self._services()
        await self.notify.start()
        normalise("15551234567", NumberPolicy.POSSIBLE, plus_required=False)  # loads libphonenumber's metadata now
        for service in (self.directory, self.dispatch, self.carriers, self.upkeep, self.journal):
            self._spawn(service.follow())
        self._spawn(self._watch_store())
        self._started = True

    def drain(self) -> None:
        """Refuse every send from now on, and say that the server is not ready: it is about to stop."""
        self._draining = True
        self.services.submit.draining = True

    def hurry(self) -> None:
        """Wait no longer for anybody while stopping: for clients, carriers or receivers of callbacks."""
        self._hurry.set()

    async def stop(self) -> None:
        """Take nothing new, wait for the carriers' answers, let the carriers go, store what they said, close."""
        self.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.carriers.stop()
        if not await self._in_time(self.dispatch.drain(), self.settings.messages.stop_seconds):
            _log.warning("stopping before the carriers have answered everything: what is open is in doubt")
        await self.dispatch.stop()
        await self._in_time(self.carriers.stopped(), _HURRIED_SECONDS)
        if not await self._in_time(self.notify.stop()):
            await self.notify.stop(_HURRIED_SECONDS)
        await self.sender.close()
        await self._in_time(self.journal.flush(), _HURRIED_SECONDS)
        closing = asyncio.get_running_loop().create_task(self.store.close())
        if not await self._in_time(_done(closing), _STORE_SECONDS):
            await asyncio.wait((closing,), timeout=_HURRIED_SECONDS)
        if not closing.done():
            # What was promised is on disk; what is not was never answered, or is in doubt and known as such.
            _log.critical("the store does not take what is left; the next start recovers from the file")
            self._flush_log()
            os._exit(EXIT_STORE_FAILED)
        closing.result()
        self.recent.close()
        self._flush_log()

    def _flush_log(self) -> None:
        if self.access is not None:
            self.access.flush()

    async def _in_time(self, work: Coroutine[Any, Any, None], seconds: float | None = None) -> bool:
        """Wait until the work is done, so many seconds have passed or somebody is in a hurry; whether it was done."""
        create_task = asyncio.get_running_loop().create_task
        doing, hurried = create_task(work), create_task(self._hurry.wait())
        await asyncio.wait((doing, hurried), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if doing.done():
            doing.result()
            return True
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        return False

    def ready(self) -> list[str]:
        """What keeps the server from serving; empty when nothing does."""
        problems = [] if self._started else ["the server is starting"]
        problems += ["the server is stopping"] if self._draining else []
        return problems + ([f"the store takes no writes: {self._store_problem}"] if self._store_problem else [])

    async def _watch_store(self) -> None:
        """Once a commit has failed, try a small write every second, for ever, until the store takes it."""
        while True:
            await asyncio.sleep(1)
            if self._store_problem:
                with contextlib.suppress(StoreError, OurFault):
                    await self.store.apply(LeaseIds(0))
                    self._store_problem = ""
                    _log.warning("the store takes writes again")

    # -- CommitHook: only to know whether the store takes writes

    def before_commit(self, ops: Sequence[Op[Any]]) -> list[Op[Any]]:
        """See `CommitHook`."""
        return []

    def after_commit(self, ops: Sequence[Op[Any]], results: Sequence[Any]) -> None:
        """See `CommitHook`: a group may have had nothing to write."""

    def commit_failed(self, ops: Sequence[Op[Any]], error: StoreError) -> None:
        """See `CommitHook`."""
        if not self._store_problem:
            _log.error("the store takes no writes, sends are answered 503: %s", error)
        self._store_problem = str(error)

    def _services(self) -> Services:
        settings = self.settings
        rules = Rules(
            prices={
                name: PriceList({prefix: parse_money(price) for prefix, price in list_.items()})
                for name, list_ in settings.prices.items()
            },
            operators=self.operators,
            routes=self.carriers.routes,
            max_recipients=settings.limits.recipients,
            max_segments=settings.limits.segments,
        )
        submit = Submit(self.store, self.dispatch, self.message_ids, rules, self.report, self.clock)
        once = Idempotency(self.store, self.clock)
        query = Query(self.store, self.ids, self.operators)
        return Services(
            directory=self.directory,
            tokens=Tokens(self.keys, self.directory, self.clock),
            submit=submit,
            once=once,
            limits=Limits(
                self.clock, failed_tokens_per_minute=settings.limits.failed_tokens_per_minute, recent=self.recent
            ),
            query=query,
            cancel=Cancel(self.dispatch, query),
            currency=settings.messages.currency,
            store=self.store,
            clock=self.clock,
            ready=self.ready,
            access=self.access,
            journal=self.journal,
            engine=self._engine(submit, once),
            metrics_networks=settings.metrics.allow_networks,
            max_messages=settings.limits.recipients,
        )

    def _engine(self, submit: Submit, once: Idempotency) -> Engine:
        return Engine(
            submit=submit,
            once=once,
            dispatch=self.dispatch,
            carriers=self.carriers,
            receive=self.receive,
            report=self.report,
            notify=self.notify,
            directory=self.directory,
            ids=self.message_ids,
            store=self.store,
            commits=self.commits,
            ready=lambda: not self.ready(),
            store_healthy=lambda: not self._store_problem,
        )

    def _carrier(self, name: str, settings: CarrierSettings) -> Carrier:
        if isinstance(settings, SmppSettings):
            return SmppCarrier(name, settings, self.clock)
        return Simulator(
            name,
            Path(self.settings.data.dir),
            self.clock,
            window=settings.window,
            answer_ms=settings.answer_ms,
            receipt_ms=settings.receipt_ms,
            late_ms=settings.late_ms,
            publish=self.ids.publish_each,
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))


async def _done(task: asyncio.Task[None]) -> None:
    """Return when a task is done, which goes on should this be called off."""
    await asyncio.wait((task,))


def load_operators() -> OperatorTable:
    """The table of operators that comes with the program."""
    return OperatorTable.from_json(resources.files("heliograph.messaging").joinpath("data/operators.json").read_bytes())


def credential_kinds() -> tuple[CredentialKind, ...]:
    """The credentials that an account has, one kind for each API."""
    ids_and_secrets = ("client_id", "client_secret", realtime.CLIENT_ID_PREFIX, realtime.CLIENT_SECRET_PREFIX)
    keys_and_secrets = ("api_key", "api_secret", sms747.API_KEY_PREFIX, sms747.API_SECRET_PREFIX)
    return (
        CredentialKind(realtime.AUDIENCE, realtime.DIALECT, *ids_and_secrets),
        CredentialKind(sms747.AUDIENCE, sms747.DIALECT, *keys_and_secrets),
    )


def simulator_fates() -> Mapping[str, Fate]:
    """What the simulator does with a message, by the last four digits of its recipient."""
    return FATES


def smsc(statuses: Sequence[str], told: Callable[[Notice], None], *, receipts: str, ids: str, **options: Any) -> Smsc:
    """What `heliograph smsc` runs; `options` are those of `SmscOptions`. Raises `ValueError` that names the option."""
    by_digits = dict(map(status_of, statuses))
    return Smsc(SmscOptions(receipts=Receipts(receipts), ids=Ids(ids), statuses=by_digits, **options), told=told)


def open_store(folder: Path, *, exclusive: bool = False) -> Store:
    """The store of a data folder, for a short command beside a server or, when `exclusive`, only without one: then
    data of an older version are brought up to date. Raises `KeysError`.
    """
    return SqliteStore(folder, exclusive=exclusive, fingerprint=load_or_create(folder).fingerprint())


def maintenance(folder: Path) -> Maintenance:
    """The upkeep of a data folder whose store need not be open, or sound."""
    return SqliteMaintenance(folder)


def _exit(error: StoreError) -> None:
    """A commit whose effect is unknown: the answers (503) get a moment to leave, then the process ends and recovers
    from the file.
    """
    _log.critical("the store cannot be trusted any more, stopping: %s", error)
    asyncio.get_running_loop().call_later(0.2, os._exit, EXIT_STORE_FAILED)
