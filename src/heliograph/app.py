"""The composition root: picks the store, the carriers and the clock, starts everything in order and stops it in the
reverse.

Nothing else imports a store engine or a carrier.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from heliograph.api.asgi import build
from heliograph.api.door import protocol_class
from heliograph.api.figures import Engine
from heliograph.api.ground import Ground
from heliograph.api.http import HttpLimits
from heliograph.api.services import Services
from heliograph.carriers.interface import Carrier
from heliograph.carriers.simulator import FATES, Fate, Simulator
from heliograph.config import CarrierSettings, Settings
from heliograph.dialects import realtime, sms747
from heliograph.kit.clock import Clock, SystemClock
from heliograph.kit.ids import PublicIds
from heliograph.kit.keys import load_or_create
from heliograph.kit.log import AccessLog, JsonFormatter
from heliograph.kit.recent import RecentCalls
from heliograph.messaging.errors import OurFault
from heliograph.messaging.numbers import NumberPolicy, normalise
from heliograph.messaging.operators import OperatorTable
from heliograph.messaging.pricing import PriceList, parse_money
from heliograph.messaging.retry import DoubtPolicy
from heliograph.messaging.routing import Routes
from heliograph.messaging.submissions import Rules
from heliograph.service.accounts import CredentialKind, Directory, Tokens
from heliograph.service.cancel import Cancel
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
_SPARE_FILES = 512  # open files besides connections and callbacks: the store, logs, and who is turned away


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
        self.receive = Receive(self.store, self.report, Inbox(self.directory, realtime.mo_body), self.clock)
        self.message_ids = MessageIds(self.store, self.ids)
        self.dispatch = Dispatch(self.store, self.message_ids, self.receive, self.clock, self.directory.intermediate)
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
        write_log = open_log(settings)
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
        for name, carrier in self.settings.carriers.items():
            await self.dispatch.add(
                self._carrier(name, carrier), doubt=DoubtPolicy(carrier.doubt), max_waiting=carrier.backlog
            )
        self.services = self._services()
        await self.notify.start()
        normalise("15551234567", NumberPolicy.POSSIBLE, plus_required=False)  # loads libphonenumber's metadata now
        for service in (self.directory, self.dispatch, self.upkeep, self.journal):
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
        if not await self._in_time(self.dispatch.drain(), self.settings.messages.stop_seconds):
            _log.warning("stopping before the carriers have answered everything: what is open is in doubt")
        await self.dispatch.stop()
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
            routes=Routes(self.dispatch.routes(), settings.messages.default_carrier),
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


def open_log(settings: Settings) -> Callable[[bytes], object]:
    """Send the program's log to where the settings say, JSON lines; the function that writes whole lines there."""
    path = settings.log.file
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if path else sys.stderr.fileno()
    handler = logging.StreamHandler(open(descriptor, "a", closefd=False, encoding="utf-8"))  # noqa: SIM115
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log.level.upper())
    return lambda lines: os.write(descriptor, lines)


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


def open_store(folder: Path, *, exclusive: bool = False) -> Store:
    """The store of a data folder, for a short command beside a server or, when `exclusive`, only without one: then
    data of an older version are brought up to date. Raises `KeysError`.
    """
    return SqliteStore(folder, exclusive=exclusive, fingerprint=load_or_create(folder).fingerprint())


def maintenance(folder: Path) -> Maintenance:
    """The upkeep of a data folder whose store need not be open, or sound."""
    return SqliteMaintenance(folder)


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[App, uvicorn.Server]]:
    """A started `App` with its HTTP server, not yet listening."""
    app = App(settings)
    await app.start()
    try:
        http = settings.http
        limits = HttpLimits(
            max_body_bytes=http.max_body_bytes,
            max_header_bytes=http.max_header_bytes,
            max_connections=connections_that_fit(http.max_connections, settings.callbacks.in_flight),
            request_timeout_seconds=http.request_timeout_seconds,
            keep_alive_seconds=http.keep_alive_seconds,
            trusted_proxies=http.trusted_proxies,
        )
        api = build(app.services)
        protocol = protocol_class(api, limits, http.lean_door)
        config = uvicorn.Config(
            api,
            host=http.host,
            port=http.port,
            http=protocol,
            ws="none",
            loop="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=10,
            ssl_certfile=http.tls_cert or None,
            ssl_keyfile=http.tls_key or None,
            backlog=4096,
        )
        yield app, HttpServer(config, app, protocol.ground, http.drain_seconds)
    finally:
        await app.stop()
        for number in _SIGNALS:  # not before: a second one shall end the wait for the carriers too
            asyncio.get_running_loop().remove_signal_handler(number)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class HttpServer(uvicorn.Server):
    """uvicorn's server, which would end the process with the signal that stopped it, before `App.stop` has run.

    A first SIGINT or SIGTERM makes sends 503 at once, so that a load balancer learns of it; `drain_seconds` later the
    port is closed. A second signal ends all waiting.
    """

    def __init__(self, config: uvicorn.Config, app: App, ground: Ground, drain_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._ground = ground
        self._drain_seconds = drain_seconds

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen and serve until a signal stops it."""
        await super().serve(sockets or _sockets(self.config))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals go to `handle_exit` until `serving` has stopped everything."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called on the loop with every signal."""
        if self._ground.draining:
            _log.warning("%s again: stopping at once", signal.Signals(sig).name)
            self.should_exit = self.force_exit = True
            self._app.hurry()
            self._cut_off()
            return
        _log.info("%s: taking no new messages, then stopping", signal.Signals(sig).name)
        self._app.drain()
        self._ground.draining = True
        if self._drain_seconds:
            asyncio.get_running_loop().call_later(self._drain_seconds, self._close)
        else:
            self._close()

    def _close(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, answer what is under way, and leave nobody connected to a server that is gone."""
        await super().shutdown(sockets)
        self._cut_off()

    def _cut_off(self) -> None:
        if self.should_exit:
            for connection in list(self.server_state.connections):
                connection.transport.abort()


async def serve(settings: Settings, on_ready: Callable[[App], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` is called once the port is open."""
    async with serving(settings) as (app, server):
        tune()
        watch = asyncio.get_running_loop().create_task(_announce(app, server, on_ready))
        try:
            await server.serve()
        finally:
            watch.cancel()


def _sockets(config: uvicorn.Config) -> list[socket.socket] | None:
    """`::` is every address, of both families, where asyncio would listen to one; None to leave it to asyncio."""
    if config.host != "::" or not socket.has_dualstack_ipv6():
        return None
    address, backlog = ("::", config.port), config.backlog
    return [socket.create_server(address, family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)]


async def _announce(app: App, server: uvicorn.Server, on_ready: Callable[[App], None] | None) -> None:
    while not server.started:  # noqa: ASYNC110 (uvicorn offers no event)
        await asyncio.sleep(0.02)
    if on_ready is not None:
        on_ready(app)


def run(settings: Settings, on_ready: Callable[[App], None] | None = None) -> None:
    """`serve` on uvloop."""
    import uvloop

    uvloop.run(serve(settings, on_ready))


def tune() -> None:
    """What measurably helps latency: no collections of what never dies, and a writer thread that gets the interpreter
    sooner.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(0.000_2)


def connections_that_fit(max_connections: int, callbacks_in_flight: int) -> int:
    """Raise this process's limit of open files as far as the settings need; the connections that it then can hold.

    Fewer than the settings say only where the hard limit is lower: then that is logged, with the remedy.
    """
    besides = callbacks_in_flight + _SPARE_FILES
    wanted = max_connections + besides
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit of the kernel's below the hard one
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return max_connections
    fit = max(1, soft - besides)
    _log.warning(
        "http.max_connections is %d, but this process may open %d files only: it takes %d connections; raise the limit"
        " to %d (LimitNOFILE= of systemd, --ulimit nofile= of docker) or lower the setting",
        max_connections,
        soft,
        fit,
        wanted,
    )
    return fit


def _exit(error: StoreError) -> None:
    """A commit whose effect is unknown: the answers (503) get a moment to leave, then the process ends and recovers
    from the file.
    """
    _log.critical("the store cannot be trusted any more, stopping: %s", error)
    asyncio.get_running_loop().call_later(0.2, os._exit, EXIT_STORE_FAILED)
