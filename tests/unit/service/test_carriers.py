"""The carriers that run are those that the settings and the store name, as they name them now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.simulation.rig import Rig, ScriptedCarrier, run, settle

from heliograph.carriers.interface import Carrier, CarrierState
from heliograph.carriers.settings import CarrierSettings, SimulatorSettings, SmppSettings
from heliograph.kit.keys import Keys, KeysError, load_or_create
from heliograph.messaging.errors import CallerError
from heliograph.service.carriers import STATE_MS, Carriers, sealed, unsealed
from heliograph.store.interface import HoldCarrier, PutCarrier, SetDefaultCarrier, StoredCarrier

FILE = {"simulator": SimulatorSettings(window=20)}


PASSWORD = "hunter22"


def smpp(**settings: Any) -> SmppSettings:
    return SmppSettings(host="smsc.example", system_id="us", password=PASSWORD, **settings)


class Office:
    """Carriers over a rig; `made` are those that were built, in order, with their settings."""

    def __init__(self, rig: Rig, keys: Keys, configured: dict[str, CarrierSettings]) -> None:
        self.rig = rig
        self.keys = keys
        self.made: list[tuple[ScriptedCarrier, CarrierSettings]] = []
        self.carriers = Carriers(
            rig.store,
            keys,
            rig.dispatch,
            rig.clock,
            self.build,
            configured=configured,
            default="simulator",
            max_segments=10,
            stop_seconds=5,
        )

    def build(self, name: str, settings: CarrierSettings) -> Carrier:
        self.made.append((ScriptedCarrier(name, settings.window), settings))
        return self.made[-1][0]

    async def put(self, name: str, settings: CarrierSettings, *, new: bool = True) -> None:
        await self.rig.store.apply(PutCarrier(name, sealed(self.keys, name, settings), new))
        await self.follow()

    async def hold(self, name: str, stopped: bool) -> None:
        await self.rig.store.apply(HoldCarrier(name, stopped))
        await self.follow()

    async def follow(self) -> None:
        """What happens every second."""
        await self.carriers.refresh()
        await self.carriers.settled()
        self.rig.clock.advance(STATE_MS / 1000)
        await self.carriers.note()

    def of(self, name: str) -> ScriptedCarrier:
        """The one that was built last."""
        return [carrier for carrier, _ in self.made if carrier.name == name][-1]

    def runs(self) -> set[str]:
        return {lane.carrier.name for lane in self.rig.dispatch.lanes.values()}

    def stored(self, name: str) -> StoredCarrier:
        return next(one for one in self.rig.store.look(lambda reads: reads.stored_carriers()) if one.name == name)

    def state(self, name: str) -> CarrierState:
        return self.carriers.standings()[name].state


def scenario(
    tmp_path: Path, story: Callable[[Office], Coroutine[Any, Any, None]], configured: dict[str, Any] | None = None
) -> None:
    async def told() -> None:
        rig = await Rig(tmp_path / "data").open()
        office = Office(rig, load_or_create(tmp_path / "keys"), FILE if configured is None else configured)
        await office.carriers.start()
        await story(office)
        rig.crash()

    run(told())


def test_the_settings_carriers_run_and_the_default_one_is_routed_to(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        assert office.runs() == {"simulator"}
        assert office.carriers.routes.choose("", "56912345678") == office.rig.dispatch.routes()["simulator"]
        assert office.state("simulator") is CarrierState.UP

    scenario(tmp_path, story)


def test_a_carrier_that_is_added_runs_and_can_be_routed_to(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        routes = office.carriers.routes
        with pytest.raises(CallerError):
            routes.choose("main", "56912345678")
        await office.put("main", smpp(window=50))
        assert office.runs() == {"simulator", "main"}
        assert office.made[-1][1] == smpp(window=50)
        assert routes.choose("main", "56912345678") == office.rig.dispatch.routes()["main"]
        assert routes.choose("", "56912345678") != routes.choose("main", "56912345678")
        await office.follow()
        assert len(office.made) == 2, "what has not changed stays as it is"

    scenario(tmp_path, story)


def test_the_default_carrier_changes_by_command_and_back(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        await office.put("main", smpp())
        ids, routes = office.rig.dispatch.routes(), office.carriers.routes
        for stored, chosen in (("main", "main"), (None, "simulator")):
            await office.rig.store.apply(SetDefaultCarrier(stored))
            await office.follow()
            assert routes.choose("", "56912345678") == ids[chosen]
        await office.rig.store.apply(SetDefaultCarrier(""))
        await office.follow()
        with pytest.raises(CallerError):
            routes.choose("", "56912345678")

    scenario(tmp_path, story)


def test_messages_wait_while_their_carrier_is_stopped_and_go_when_it_runs(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        await office.put("main", smpp())
        await office.hold("main", True)
        assert office.of("main").stopped
        assert office.runs() == {"simulator"}
        assert (office.state("main"), office.stored("main").state) == (CarrierState.STOPPED, "stopped")
        accept = office.rig.drafts(3, carrier="main")
        await office.rig.store.apply(accept)
        await settle()
        await office.follow()
        assert office.of("main").sent == []
        await office.hold("main", False)
        await settle()
        assert [one for one, _ in office.of("main").wire] == [one.id for one in accept.submissions]

    scenario(tmp_path, story)


def test_a_carrier_of_the_settings_can_be_stopped_too_and_stays_so_over_a_restart(tmp_path: Path) -> None:
    async def stop(office: Office) -> None:
        await office.hold("simulator", True)
        assert office.runs() == set()

    async def later(office: Office) -> None:
        assert (office.runs(), office.made) == (set(), [])
        assert office.carriers.routes.choose("", "56912345678"), "its messages are accepted"
        assert office.state("simulator") is CarrierState.STOPPED
        await office.hold("simulator", False)
        assert office.runs() == {"simulator"}

    scenario(tmp_path, stop)
    scenario(tmp_path, later)


def test_changed_settings_replace_the_carrier_after_its_answers(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        await office.put("main", smpp(window=20))
        await office.rig.store.apply(office.rig.drafts(1, carrier="main"))
        await settle()
        old = office.of("main")
        assert len(old.out) == 1
        sealed_new = sealed(office.keys, "main", smpp(window=40))
        await office.rig.store.apply(PutCarrier("main", sealed_new, False))
        await office.carriers.refresh()
        await settle()
        assert not old.stopped, "it has not answered yet"
        old.take_all()
        office.rig.clock.advance(1)
        await office.carriers.settled()
        assert old.stopped
        assert office.of("main") is not old
        assert office.of("main").window == 40
        assert office.of("main").sent == []

    scenario(tmp_path, story)


def test_one_carrier_that_does_not_answer_is_not_in_the_way_of_another(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        await office.put("slow", smpp())
        await office.rig.store.apply(office.rig.drafts(1, carrier="slow"))
        await settle()
        await office.rig.store.apply(HoldCarrier("slow", True))
        await office.carriers.refresh()  # waits for its answer from now on
        await office.rig.store.apply(PutCarrier("quick", sealed(office.keys, "quick", smpp()), True))
        await office.carriers.refresh()
        await settle()
        for _ in range(100):
            if "quick" in office.runs():
                break
            await settle()
        assert "quick" in office.runs()
        assert not office.of("slow").stopped
        office.of("slow").take_all()
        office.rig.clock.advance(1)
        await office.carriers.settled()
        assert office.of("slow").stopped

    scenario(tmp_path, story)


def test_settings_that_cannot_be_used_are_a_fault_and_their_messages_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(office: Office) -> None:
        with caplog.at_level(logging.ERROR):
            await office.put("main", smpp(window=9))
            await office.follow()
        assert "main" not in office.runs()
        assert office.carriers.routes.choose("main", "56912345678")
        assert office.stored("main").state == "fault"
        assert "window = 9 is less than limits.segments = 10" in office.stored("main").detail
        assert caplog.text.count("its settings cannot be used") == 1
        await office.put("main", smpp(window=10), new=False)
        assert "main" in office.runs()

    scenario(tmp_path, story)


def test_settings_of_another_installation_are_a_fault(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        foreign = sealed(load_or_create(tmp_path / "foreign"), "main", smpp())
        await office.rig.store.apply(PutCarrier("main", foreign, True))
        await office.follow()
        assert "cannot be opened with these keys" in office.stored("main").detail

    scenario(tmp_path, story)


def test_a_fault_is_logged_as_an_error_and_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(office: Office) -> None:
        with caplog.at_level(logging.ERROR):
            office.of("simulator").events.changed(CarrierState.FAULT, "ESME_RINVPASWD")
        at_utc_ms = office.rig.clock.now_utc_ms()
        assert "simulator: ESME_RINVPASWD; see `heliograph carrier show simulator`" in caplog.text
        await office.follow()
        stored = office.stored("simulator")
        assert (stored.state, stored.detail, stored.since_utc_ms) == ("fault", "ESME_RINVPASWD", at_utc_ms)

    scenario(tmp_path, story)


def test_a_link_that_flaps_is_stored_once_a_second(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        await office.follow()
        writes = 0
        for index in range(50):
            office.of("simulator").events.changed(list(CarrierState)[index % 2], str(index))
            await office.carriers.note()
            writes += office.stored("simulator").detail == str(index)
        assert writes == 0
        office.rig.clock.advance(STATE_MS / 1000)
        await office.carriers.note()
        assert office.stored("simulator").detail == "49"

    scenario(tmp_path, story)


def test_when_the_server_stops_so_do_the_carriers(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        await office.put("main", smpp())
        await office.hold("main", True)
        await office.carriers.stop()
        await office.carriers.stopped()
        assert (office.stored("simulator").state, office.stored("simulator").detail) == ("stopped", "with the server")
        assert office.stored("main").detail == "by command"

    scenario(tmp_path, story)


def test_what_is_stored_of_a_carrier_does_not_show_its_password_and_belongs_to_its_name(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path)
    stored = sealed(keys, "main", smpp())
    assert PASSWORD.encode() not in stored
    assert unsealed(keys, "main", stored) == smpp()
    with pytest.raises(KeysError, match="cannot be opened"):
        unsealed(keys, "other", stored)
    with pytest.raises(KeysError, match="another version"):
        unsealed(keys, "main", keys.seal("main", b'{"kind":"ss7"}'))
