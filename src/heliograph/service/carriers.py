"""The carriers that run: those of the settings and those that `heliograph carrier add` stored, as the store says now.

It follows the store like the directory of accounts, so what a command changes is so on a running server within two
seconds: a new carrier is started, a changed one replaced, a stopped one drained and left alone. What is for it waits
meanwhile. No carrier waits for another to be drained.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from heliograph.carriers.checks import unusable
from heliograph.carriers.interface import Carrier, CarrierState
from heliograph.carriers.settings import CarrierSettings, SmppSettings
from heliograph.kit.clock import Clock
from heliograph.kit.keys import Keys, KeysError
from heliograph.messaging.errors import OurFault
from heliograph.messaging.retry import DoubtPolicy
from heliograph.messaging.routing import Routes
from heliograph.service.dispatch import Dispatch
from heliograph.store.interface import RegisterCarrier, Store, StoreCarrierState, StoredCarrier, StoreError

REFRESH_SECONDS = 0.5
STATE_MS = 1_000  # between two states of one carrier that are stored, at least
UNUSABLE_BACKLOG = 100_000  # messages that may wait for a carrier of whose own setting nothing is known
_log = logging.getLogger(__name__)

Build = Callable[[str, CarrierSettings], Carrier]


def sealed(keys: Keys, name: str, settings: CarrierSettings) -> bytes:
    """A carrier's settings as the store keeps them."""
    return keys.seal(name, msgspec.json.encode(settings))


def unsealed(keys: Keys, name: str, settings: bytes) -> CarrierSettings:
    """What `sealed` made. Raises `KeysError`, also for what only another version understands."""
    try:
        found: CarrierSettings = msgspec.json.decode(keys.unseal(name, settings), type=CarrierSettings)
    except msgspec.MsgspecError as error:
        raise KeysError(f"what is stored of {name!r} was stored by another version: {error}; store it anew") from None
    return found


class Standing(msgspec.Struct, frozen=True):
    """How a carrier stands, and since when."""

    state: CarrierState
    detail: str
    since_utc_ms: int


class Carriers:
    """All carriers of an installation; `routes` is what messages are routed by, and changes with them."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        dispatch: Dispatch,
        clock: Clock,
        build: Build,
        *,
        configured: Mapping[str, CarrierSettings],
        default: str,
        max_segments: int,
        stop_seconds: float,
    ) -> None:
        """`configured` and `default` are what the settings file says; `build` makes a carrier that is not started."""
        self._store = store
        self._keys = keys
        self._dispatch = dispatch
        self._clock = clock
        self._build = build
        self._configured = configured
        self._default = default
        self._max_segments = max_segments
        self._stop_seconds = stop_seconds
        self._now: dict[str, CarrierSettings | None] = {}  # what each runs with, None for one that rests
        self._changing: dict[str, asyncio.Task[None]] = {}
        self._unusable: dict[str, bytes] = {}  # by name, the stored settings that were refused
        self._names: dict[int, str] = {}
        self._unstored: set[int] = set()  # whose standing is not in the store yet
        self._stored_at: dict[int, int] = {}
        self._standings: dict[int, Standing] = {}
        self.routes = Routes(dispatch.routes(), default)
        dispatch.on_state = self.changed
        dispatch.after = self.routes.after

    # -- what is to run

    async def start(self) -> None:
        """Start all that are to run. What cannot be done is the caller's error."""
        await self.refresh()
        await self.settled()

    async def settled(self) -> None:
        """Return once no carrier is being changed. What could not be done is the caller's error."""
        await asyncio.gather(*self._changing.values())

    async def follow(self) -> None:
        """Do what the store says, for ever; what it does not take now is tried again."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
                await self.note()
            except (StoreError, OurFault) as error:
                _log.warning("the carriers could not be brought up to date: %s", error)

    async def stop(self) -> None:
        """Change nothing any more; `Dispatch.stop` stops the carriers."""
        for task in self._changing.values():
            task.cancel()
        await asyncio.gather(*self._changing.values(), return_exceptions=True)

    async def refresh(self) -> None:
        """Begin to do what the store says of each carrier, but for those that are being changed already."""
        stored, default = await self._store.read(lambda reads: (reads.stored_carriers(), reads.default_carrier()))
        by_name = {one.name: one for one in stored}
        self.routes.default = self._default if default is None else default
        for name in dict.fromkeys((*self._configured, *by_name)):
            one = by_name.get(name)
            if name in self._changing or not (name in self._configured or (one is not None and one.settings)):
                continue
            settings = self._settings(name, one)
            stopped = one is not None and one.stopped
            wanted = None if stopped else settings
            if name not in self._now or self._now[name] != wanted:
                self._begin(name, self._bring(name, settings, stopped=stopped))

    def _settings(self, name: str, stored: StoredCarrier | None) -> CarrierSettings | None:
        """A carrier's settings; None, and a fault that says why, when there are none to run it with."""
        if name in self._configured:
            return self._configured[name]
        assert stored is not None
        if self._unusable.get(name) == stored.settings:
            return None
        try:
            settings = unsealed(self._keys, name, stored.settings)
            trouble = "; ".join(key + rest for key, rest in unusable(settings, self._max_segments))
        except KeysError as error:
            trouble = str(error)
        if not trouble:
            self._unusable.pop(name, None)
            return settings
        self._unusable[name] = stored.settings
        self._names[stored.id] = name
        self.changed(stored.id, CarrierState.FAULT, f"its settings cannot be used: {trouble}")
        return None

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._changing[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: str, done: asyncio.Task[None]) -> None:
        del self._changing[name]
        if not done.cancelled() and (error := done.exception()) is not None:
            _log.error("%s: it could not be changed, and is tried again: %s", name, error)

    async def _bring(self, name: str, settings: CarrierSettings | None, *, stopped: bool) -> None:
        """Make a carrier run with these settings, or rest when it is to be stopped or has none that can be used."""
        known = name in self._now
        carrier_id = await self._store.apply(RegisterCarrier(name))
        self._names[carrier_id] = name
        if self._now.get(name) is not None:
            if not stopped:
                _log.info("%s: its settings changed", name)
            await self._dispatch.remove(name, self._stop_seconds)
            self._now[name] = None
        if settings is not None and not stopped:
            await self._run(name, settings)
        elif not known:
            await self._dispatch.hold(name, settings.backlog if settings else UNUSABLE_BACKLOG)
        if stopped:
            self.changed(carrier_id, CarrierState.STOPPED, "by command")
            self._unusable.pop(name, None)
        self._now[name] = None if stopped else settings

    async def _run(self, name: str, settings: CarrierSettings) -> None:
        await self._dispatch.add(
            self._build(name, settings),
            doubt=DoubtPolicy(settings.doubt),
            max_waiting=settings.backlog,
            query_after_seconds=settings.query_after_seconds if isinstance(settings, SmppSettings) else 0.0,
        )

    # -- how they stand

    def changed(self, carrier_id: int, state: CarrierState, detail: str) -> None:
        """A carrier stands otherwise now: `Dispatch.on_state`."""
        before = self._standings.get(carrier_id)
        if before is not None and (before.state, before.detail) == (state, detail):
            return
        now = self._clock.now_utc_ms()
        since = before.since_utc_ms if before is not None and before.state is state else now
        self._standings[carrier_id] = Standing(state, detail, since)
        self._unstored.add(carrier_id)
        name = self._names.get(carrier_id, f"carrier {carrier_id}")
        if state is CarrierState.FAULT:
            _log.error("%s: %s; see `heliograph carrier show %s`", name, detail, name)
        elif before is None or before.state is not state:
            _log.info("%s: %s%s", name, state.value, f": {detail}" if detail else "")

    async def note(self, *, all_: bool = False) -> None:
        """Store how carriers stand that stand otherwise now, none more often than every `STATE_MS` unless `all_`."""
        for carrier_id in sorted(self._unstored):
            now = self._clock.now_utc_ms()
            if not all_ and 0 <= now - self._stored_at.get(carrier_id, 0) < STATE_MS:
                continue
            standing = self._standings[carrier_id]
            await self._store.apply(
                StoreCarrierState(carrier_id, standing.state.value, standing.detail, standing.since_utc_ms)
            )
            self._stored_at[carrier_id] = now
            if self._standings[carrier_id] is standing:
                self._unstored.discard(carrier_id)

    def standings(self) -> dict[str, Standing]:
        """How each carrier stands, by name."""
        return {name: self._standings[id_] for id_, name in self._names.items() if id_ in self._standings}

    async def stopped(self) -> None:
        """Store that the server has stopped: no carrier is connected any more."""
        for carrier_id, name in self._names.items():
            if self._now.get(name) is not None:
                self.changed(carrier_id, CarrierState.STOPPED, "with the server")
        await self.note(all_=True)
