"""The doctor finds what is wrong, names the remedy, changes nothing, and survives whatever it looks at."""

from __future__ import annotations

import fcntl
import http.server
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.unit.cli.conftest import Command

from heliograph.cli import carrier_diagnosis, diagnosis, facts, words
from heliograph.cli.diagnosis import (
    ClockFacts,
    DiskFacts,
    FileFacts,
    Finding,
    PermissionFacts,
    ServerFacts,
    Verdict,
)
from heliograph.config import Settings
from heliograph.kit.keys import DATABASE, load_or_create
from heliograph.store.maintenance import AccountLinks, CarrierLoad, CarrierNote, Debtor, Schema, Size

OK, WARNING, PROBLEM = Verdict.OK, Verdict.WARNING, Verdict.PROBLEM
NOW = 1_790_000_000_000  # in 2026
GIB = 1 << 30


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict; what is not ok must come with a remedy."""
    found = list(findings)
    assert found
    assert all(one.found for one in found)
    assert all(bool(one.remedy) == (one.verdict is not OK) for one in found), found
    return max((one.verdict for one in found), key=[OK, WARNING, PROBLEM].index)


# -- judging


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (DiskFacts("/d", 50 * GIB, "ext4", 1.0), OK),
        (DiskFacts("/d", 50 * GIB, "", 1.0), OK),  # nobody says what it is
        (DiskFacts("/d", 50 * GIB, "ext4", 90.0), WARNING),
        (DiskFacts("/d", 1 * GIB, "ext4", 1.0), WARNING),
        (DiskFacts("/d", 1 << 20, "ext4", 1.0), PROBLEM),
        (DiskFacts("/d", 50 * GIB, "tmpfs", 1.0), WARNING),
        (DiskFacts("/d", 50 * GIB, "overlay", 1.0), WARNING),
        (DiskFacts("/d", 50 * GIB, "nfs4", 1.0), PROBLEM),
        (DiskFacts("/d", 50 * GIB, "fuse.sshfs", 1.0), PROBLEM),
        (DiskFacts("/d", 50 * GIB, "ext4", None, "Read-only file system"), PROBLEM),
    ],
)
def test_a_disk_that_is_full_slow_forgetful_or_far_away_is_told_of(facts: DiskFacts, verdict: Verdict) -> None:
    assert worst(diagnosis.disk(facts)) is verdict


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (ClockFacts(NOW, NOW - 5_000, True), OK),
        (ClockFacts(NOW, 0, None), OK),
        (ClockFacts(NOW, NOW + 500, None), OK),  # written a moment after it was asked
        (ClockFacts(NOW, NOW, False), WARNING),
        (ClockFacts(NOW, NOW + 10_000, True), WARNING),
        (ClockFacts(NOW, NOW + 3_600_000, True), PROBLEM),
        (ClockFacts(0, 0, True), PROBLEM),
        (ClockFacts(10**14 * 8, 0, True), PROBLEM),
        (ClockFacts(10**18, 0, True), PROBLEM),  # of no calendar
    ],
)
def test_a_clock_that_cannot_be_right_is_told_of(facts: ClockFacts, verdict: Verdict) -> None:
    assert worst(diagnosis.clock(facts)) is verdict


def permission_facts(
    *, folder: tuple[str, int] = ("sms", 0o700), file: tuple[str, int] = ("sms", 0o600), user: str = "sms"
) -> PermissionFacts:
    return PermissionFacts(FileFacts("/d", *folder), [FileFacts("/d/heliograph.sqlite", *file)], user, user == "root")


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (permission_facts(), OK),
        (permission_facts(user="root"), OK),
        (permission_facts(user="someone"), PROBLEM),
        (permission_facts(file=("root", 0o600)), PROBLEM),
        (permission_facts(folder=("root", 0o700), user="root"), OK),  # who may use everything
        (permission_facts(folder=("sms", 0o755)), WARNING),
        (permission_facts(file=("sms", 0o640)), WARNING),
    ],
)
def test_data_of_another_user_or_open_to_others_are_told_of(facts: PermissionFacts, verdict: Verdict) -> None:
    assert worst(diagnosis.permissions(facts)) is verdict


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (ServerFacts("", "http://127.0.0.1:1"), WARNING),
        (ServerFacts(None, "http://127.0.0.1:1"), WARNING),
        (ServerFacts("7", ""), WARNING),
        (ServerFacts("7", "http://127.0.0.1:1", 200), OK),
        (ServerFacts("7", "http://127.0.0.1:1", 503, ("the disk is full",)), PROBLEM),
        (ServerFacts("7", "http://127.0.0.1:1", 502), PROBLEM),
        (ServerFacts("7", "http://127.0.0.1:1", None, ("timed out",)), PROBLEM),
    ],
)
def test_a_server_that_does_not_serve_is_told_of(facts: ServerFacts, verdict: Verdict) -> None:
    finding = diagnosis.server(facts, "/d")
    assert worst([finding]) is verdict
    assert all(why in finding.found for why in facts.problems)


def test_a_schema_that_is_not_this_programs_is_told_of() -> None:
    assert worst([diagnosis.schema(Schema(2, 2), "/d")]) is OK
    assert worst([diagnosis.schema(Schema(1, 2), "/d")]) is WARNING
    assert worst([diagnosis.schema(Schema(3, 2), "/d")]) is PROBLEM


def test_damage_and_a_log_that_never_ends_are_told_of() -> None:
    assert worst([diagnosis.database(Size(1, 1, 0), [], read_through=True)]) is OK
    assert worst([diagnosis.database(Size(1, 2 * GIB, 0), [], read_through=False)]) is WARNING
    assert worst([diagnosis.database(Size(1, 1, 0), ["page 7 is never used"], read_through=True)]) is PROBLEM


def test_books_that_cannot_be_right_are_told_of() -> None:
    assert worst(diagnosis.ledger([], 0)) is OK
    assert worst(diagnosis.ledger([], None)) is OK
    assert worst(diagnosis.ledger([Debtor("shop", -1, 0)], 0)) is WARNING
    assert worst(diagnosis.ledger([], -1)) is PROBLEM


def judge_carriers(load: CarrierLoad, *, carrier: str = "", given: bool = True) -> Verdict:
    accounts = [AccountLinks("shop", carrier, "", "")]
    return worst(
        carrier_diagnosis.carriers([load], accounts, ["simulator"], now_utc_ms=NOW, settings_given=given),
    )


def test_messages_and_accounts_of_a_carrier_that_is_not_configured_are_told_of() -> None:
    gone, idle = CarrierLoad("old", 3, 0, 0), CarrierLoad("simulator", 3, 0, 0)
    assert judge_carriers(idle) is OK
    assert judge_carriers(idle, carrier="simulator") is OK
    assert judge_carriers(CarrierLoad("old", 0, 0, 0)) is OK  # nothing is left to carry
    assert judge_carriers(gone) is PROBLEM
    assert judge_carriers(idle, carrier="old") is PROBLEM
    assert judge_carriers(gone, given=False) is WARNING  # the server may know it


def test_messages_that_wait_for_long_are_told_of() -> None:
    assert judge_carriers(CarrierLoad("simulator", 9, 9, NOW - 60_000)) is OK
    assert judge_carriers(CarrierLoad("simulator", 9, 9, NOW - 3_600_000)) is WARNING


def judge_callbacks(
    *,
    dlr_url: str = "",
    failed: dict[str, int] | None = None,
    due_utc_ms: int = 0,
    allowed: tuple[str, ...] = (),
    given: bool = True,
) -> Verdict:
    return worst(
        diagnosis.callbacks(
            [AccountLinks("shop", "", dlr_url, "")],
            failed or {},
            (due_utc_ms, "shop"),
            facts.CallbackUrls(Settings(), allowed).refusal,
            now_utc_ms=NOW,
            settings_given=given,
        )
    )


def test_callbacks_that_do_not_arrive_are_told_of() -> None:
    assert judge_callbacks(dlr_url="https://shop.example/dlr", due_utc_ms=NOW + 1) is OK
    assert judge_callbacks(failed={"shop": 2}) is WARNING
    assert judge_callbacks(due_utc_ms=NOW - 60_000) is OK
    assert judge_callbacks(due_utc_ms=NOW - 3_600_000) is WARNING


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/dlr", "http://localhost/", "http://[::1]/", "ftp://shop.example"])
def test_a_url_that_is_never_called_is_told_of(url: str) -> None:
    assert judge_callbacks(dlr_url=url) is PROBLEM
    assert judge_callbacks(dlr_url=url, given=False) is WARNING  # the server's settings may allow it


def test_a_network_that_the_settings_allow_is_none_to_tell_of() -> None:
    assert judge_callbacks(dlr_url="http://127.0.0.1:9/dlr", allowed=("127.0.0.0/8",)) is OK


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1 << 20, "1.0 MiB"),
        ((1 << 30) - 1, "1.0 GiB"),
        (3 << 40, "3.0 TiB"),
    ],
)
def test_sizes_are_shown_as_people_say_them(length: int, shown: str) -> None:
    assert words.show_size(length) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(900, "0 seconds"), (1_000, "1 second"), (119_999, "1 minute"), (7_200_000, "2 hours"), (86_400_000, "1 day")],
)
def test_durations_are_shown_as_people_say_them(milliseconds: int, shown: str) -> None:
    assert words.show_duration(milliseconds) == shown


# -- looking


MOUNTS = """\
/dev/sda / ext4 rw 0 0
server:/x /mnt/far nfs4 rw 0 0
tmpfs /mnt/a\\040b tmpfs rw 0 0
/dev/sdb /mnt/far/near xfs rw 0 0
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/x", "ext4"),
        ("/mnt/far/d", "nfs4"),
        ("/mnt/farther", "ext4"),
        ("/mnt/far/near/d", "xfs"),
        ("/mnt/a b/c", "tmpfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert facts.file_system(Path(path), MOUNTS) == kind


def test_the_holder_of_the_lock_is_found_and_left_alone(tmp_path: Path) -> None:
    lock = tmp_path / "heliograph.lock"
    assert facts.lock_holder(lock) == ""
    lock.write_text("4711")
    assert facts.lock_holder(lock) == ""  # of a server that is gone
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert facts.lock_holder(lock) == "4711"


class _Answer(http.server.BaseHTTPRequestHandler):
    status, body = 200, b"{}"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def listening() -> Iterator[http.server.HTTPServer]:
    """Something that answers as a server does, at the loopback."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "problems"),
    [
        (200, b'{"status":"ready"}', ()),
        (503, b'{"status":"unavailable","problems":["the disk is full"]}', ("the disk is full",)),
        (200, b"<html>another program</html>", ()),
    ],
)
def test_a_server_is_asked_whether_it_is_ready(
    tmp_path: Path,
    listening: http.server.HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: bytes,
    problems: tuple[str, ...],
) -> None:
    monkeypatch.setattr(_Answer, "status", status)
    monkeypatch.setattr(_Answer, "body", body)
    url = f"http://127.0.0.1:{listening.server_port}"
    (tmp_path / "base-url").write_text(url + "\n")
    with (tmp_path / facts.LOCK).open("w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert facts.server(tmp_path) == ServerFacts("unknown", url, status, problems)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://127.0.0.1:99999", "nonsense"])
def test_a_server_that_gives_no_answer_is_no_reason_to_stop_looking(tmp_path: Path, url: str) -> None:
    (tmp_path / "base-url").write_text(url)
    with (tmp_path / facts.LOCK).open("w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = facts.server(tmp_path)
    assert found.status is None
    assert found.problems


# -- the command


@pytest.fixture
def account(heliograph: Command) -> str:
    made = heliograph.json("account", "create", "--name", "Shop", "--email", "it@shop.example", "--balance", "5.00")
    return str(made["account_id"])


def examine(heliograph: Command, *words: str, code: int = 0) -> dict[str, list[tuple[str, str]]]:
    """What the doctor finds: verdict and text, by check."""
    found: dict[str, list[tuple[str, str]]] = {}
    for one in heliograph("doctor", *words, "--json", code=code).data["findings"]:
        assert bool(one["remedy"]) == (one["verdict"] != "ok"), one
        found.setdefault(one["check"], []).append((one["verdict"], one["found"]))
    return found


def spoil(heliograph: Command, *statements: str) -> None:
    connection = apsw.Connection(str(heliograph.folder / DATABASE))
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


def test_a_sound_folder_has_no_problem_and_stays_as_it_is(heliograph: Command, account: str) -> None:
    before = {file: file.stat().st_mtime_ns for file in [heliograph.folder, *heliograph.folder.iterdir()]}
    found = examine(heliograph)
    assert {file: file.stat().st_mtime_ns for file in [heliograph.folder, *heliograph.folder.iterdir()]} == before
    for check in ("settings", "permissions", "keys", "schema", "database", "carriers", "callbacks", "ledger"):
        assert [verdict for verdict, _ in found[check]] == ["ok"], found
    assert found["server"][0][0] == "warning"
    assert {"disk", "clock"} <= set(found)


def test_every_finding_is_printed_with_its_remedy(heliograph: Command, account: str) -> None:
    printed = heliograph("doctor").out
    assert "none serves" in printed
    assert "→ heliograph serve --data" in printed
    assert "0 problems" in printed


def test_a_folder_that_is_missing_empty_or_a_file_is_told_of_and_not_made(heliograph: Command) -> None:
    assert "does not exist" in examine(heliograph, code=1)["data folder"][0][1]
    assert not heliograph.folder.exists()
    heliograph.folder.mkdir()
    assert "no Heliograph data" in examine(heliograph, code=1)["data folder"][0][1]
    assert not list(heliograph.folder.iterdir())
    heliograph.folder.rmdir()
    heliograph.folder.write_text("")
    assert "not a folder" in examine(heliograph, code=1)["data folder"][0][1]


def test_what_this_user_may_not_read_is_told_of(
    heliograph: Command, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) == heliograph.folder)
    assert "cannot be read" in examine(heliograph, code=1)["database"][0][1]
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot be read" in examine(heliograph, code=1)["data folder"][0][1]


def test_lost_and_open_keys_are_told_of(heliograph: Command, account: str) -> None:
    keys = heliograph.folder / "keys.json"
    keys.chmod(0o644)
    assert examine(heliograph, code=1)["keys"][0][0] == "problem"
    assert "chmod 600" in heliograph("doctor", code=1).out
    keys.chmod(0o600)
    kept = keys.read_bytes()
    keys.write_text("{")
    assert "damaged" in examine(heliograph, code=1)["keys"][0][1]
    keys.unlink()
    assert "is gone" in examine(heliograph, code=1)["keys"][0][1]
    assert not keys.exists()
    keys.write_bytes(kept)


def test_a_database_that_is_damaged_is_told_of(heliograph: Command, account: str) -> None:
    database = heliograph.folder / DATABASE
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (database.stat().st_size - 4096))
    assert examine(heliograph, code=1)["database"][0][0] == "problem"
    database.write_bytes(b"no database at all, and long enough to be looked at" * 100)
    assert "not a database" in examine(heliograph, code=1)["database"][0][1]
    database.unlink()
    database.mkdir()
    examine(heliograph, code=1)


def test_a_folder_whose_database_is_not_made_yet_is_sound(heliograph: Command) -> None:
    load_or_create(heliograph.folder)
    assert examine(heliograph)["database"][0][0] == "ok"


def test_a_database_that_is_lost_is_told_of(heliograph: Command, account: str) -> None:
    (heliograph.folder / DATABASE).unlink()
    assert examine(heliograph, code=1)["database"][0][0] == "problem"
    (heliograph.folder / DATABASE).touch()
    printed = heliograph("doctor", code=1).out
    assert "→ restore it from the backup, or begin anew in another folder" in printed
    assert "1 problem" in printed
    assert "no database yet" not in printed


def test_keys_that_others_may_read_are_told_of_once(heliograph: Command, account: str) -> None:
    (heliograph.folder / "keys.json").chmod(0o777)
    found = examine(heliograph, code=1)
    assert found["keys"][0][0] == "problem"
    assert "permissions" not in found
    (heliograph.folder / DATABASE).chmod(0o644)
    assert [verdict for verdict, _ in examine(heliograph, code=1)["permissions"]] == ["warning"]


def test_a_schema_of_a_newer_version_is_told_of(heliograph: Command, account: str) -> None:
    spoil(heliograph, "PRAGMA user_version = 999")
    assert examine(heliograph, code=1)["schema"][0][0] == "problem"


def test_settings_that_are_wrong_are_told_of_beside_everything_else(heliograph: Command, account: str) -> None:
    Path("bad.toml").write_text("[http]\nport = 'x'\nprot = 1\n")
    found = examine(heliograph, "--config", "bad.toml", code=1)
    assert [verdict for verdict, _ in found["settings"]] == ["problem", "problem"]
    assert found["ledger"][0][0] == "ok"


def test_the_folder_is_the_one_that_the_settings_name(
    heliograph: Command, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HELIOGRAPH_DATA")
    Path("good.toml").write_text("[data]\ndir = 'data'\n")
    assert examine(heliograph, "--config", "good.toml")["keys"][0][0] == "ok"


def test_messages_of_a_carrier_that_the_settings_lost_are_told_of(heliograph: Command, account: str) -> None:
    spoil(
        heliograph,
        "INSERT INTO carrier (id, name) VALUES (77, 'old')",
        "INSERT INTO message (id, request_id, account_id, carrier_id, dialect, status, recipient, price_micros,"
        " operator_id, operator_source) VALUES (1, 1, 1, 77, 1, 0, '56910000000', 0, 0, 0)",
    )
    verdict, text = examine(heliograph)["carriers"][0]
    assert (verdict, "'old'" in text) == ("warning", True)
    heliograph("config", "init")
    assert examine(heliograph, "--config", "heliograph.toml", code=1)["carriers"][0][0] == "problem"


def test_a_callback_url_that_no_server_calls_is_told_of(heliograph: Command, account: str) -> None:
    heliograph("account", "callbacks", account, "--dlr-url", "http://10.0.0.1/dlr")
    assert "private network" in examine(heliograph)["callbacks"][0][1]
    heliograph("config", "init")
    assert "private network" in examine(heliograph, "--config", "heliograph.toml", code=1)["callbacks"][0][1]


def test_callbacks_that_failed_or_are_late_are_told_of(heliograph: Command, account: str) -> None:
    insert = (
        "INSERT INTO callback (account_id, message_id, kind, url, body, state, attempt, created_utc_ms, next_utc_ms)"
        " VALUES (1, 1, 'dlr', '', x'', '{}', 7, 1, {})"
    )
    spoil(
        heliograph,
        insert.format("pending", "unixepoch() * 1000 - 3600000"),
        insert.format("failed", "unixepoch() * 1000 - 3600000"),
        insert.format("failed", "unixepoch() * 1000 - 90000000"),  # a day and an hour ago
    )
    found = [text for _, text in examine(heliograph)["callbacks"]]
    assert any("1 callback of" in text for text in found), found
    assert any("1 hour ago" in text for text in found), found
    assert heliograph.json("db", "stats")["callbacks"] == {"pending": 1, "failed": 2}


def test_a_clock_that_went_back_is_told_of(heliograph: Command, account: str) -> None:
    spoil(heliograph, "UPDATE posting SET at_utc_ms = at_utc_ms + 86400000")
    assert "before the newest" in examine(heliograph, code=1)["clock"][0][1]


def test_books_that_do_not_agree_are_told_of(heliograph: Command, account: str) -> None:
    spoil(heliograph, "UPDATE balance SET balance_micros = -1")
    assert {verdict for verdict, _ in examine(heliograph, code=1)["ledger"]} == {"problem", "warning"}


def judge_standing(note: CarrierNote, *, default: str = "main", served: bool = True) -> list[Finding]:
    return list(
        carrier_diagnosis.carriers(
            [CarrierLoad("main", 7, 7, NOW - 3_600_000)] if note.stopped else [],
            [],
            ["simulator"],
            now_utc_ms=NOW,
            settings_given=True,
            notes=[note],
            default=default,
            served=served,
        )
    )


def test_a_carrier_that_refuses_us_or_is_stopped_is_told_of() -> None:
    up = CarrierNote("main", True, False, "up", "", NOW)
    fault = CarrierNote("main", True, False, "fault", "ESME_RINVPASWD (0x0000000e)", NOW)
    connecting = CarrierNote("main", True, False, "connecting", "Connection refused", NOW)
    stopped = CarrierNote("main", True, True, "stopped", "by command", NOW)
    assert worst(judge_standing(up)) is OK
    assert worst(judge_standing(fault)) is PROBLEM
    assert "ESME_RINVPASWD" in judge_standing(fault)[0].found
    assert worst(judge_standing(connecting)) is WARNING
    (told,) = judge_standing(stopped)
    assert (told.verdict, told.remedy) == (WARNING, "heliograph carrier start main")
    assert "7 messages wait" in told.found
    for note in (fault, connecting):  # of a server that runs no more
        assert worst(judge_standing(note, served=False)) is OK
    assert worst(judge_standing(stopped, served=False)) is WARNING


def test_a_default_carrier_that_is_not_there_is_told_of() -> None:
    up = CarrierNote("main", True, False, "up", "", NOW)
    assert worst(judge_standing(up, default="simulator")) is OK
    assert worst(judge_standing(up, default="")) is OK
    assert worst(judge_standing(up, default="gone")) is PROBLEM
