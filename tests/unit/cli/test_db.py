"""Backups are whole or not there, migrating is told, and figures are right or say that they are estimates."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.unit.cli.conftest import Command

from heliograph.cli import db
from heliograph.kit.keys import DATABASE, load_or_create
from heliograph.store.maintenance import Schema, Size
from heliograph.store.sqlite import maintenance
from heliograph.store.sqlite.maintenance import SqliteMaintenance


@pytest.fixture
def account(heliograph: Command) -> str:
    """A data folder with an account that has 5.00; its id."""
    made = heliograph.json("account", "create", "--name", "Shop", "--email", "it@shop.example", "--balance", "5.00")
    return str(made["account_id"])


@pytest.fixture
def execute(heliograph: Command, account: str) -> Iterator[apsw.Connection]:
    """A connection to that folder's database, to spoil it with."""
    connection = apsw.Connection(str(heliograph.folder / DATABASE))
    yield connection
    connection.close()


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def damage(database: Path) -> None:
    """Overwrite everything behind the first page, as a failing disk would."""
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (database.stat().st_size - 4096))


# -- backup


def test_a_backup_holds_database_and_keys_and_can_be_used_in_place_of_the_original(
    heliograph: Command, account: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    said = heliograph("db", "backup", str(copy)).out
    assert str(copy) in said
    assert "heliograph serve --data" in said
    assert names(copy) == [DATABASE, "installed", "keys.json"]
    assert (copy / "keys.json").read_bytes() == (heliograph.folder / "keys.json").read_bytes()
    shutil.rmtree(heliograph.folder)
    assert heliograph.json("account", "show", account, "--data", str(copy))["balance"] == "5.00"
    assert heliograph.json("audit", "--data", str(copy))["agrees"]


def test_nobody_else_can_read_a_backup(heliograph: Command, account: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        heliograph("db", "backup", str(tmp_path / "copy"))
    finally:
        os.umask(before)
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "copy").iterdir()} == {0o600}


def test_the_secret_that_only_the_demo_keeps_is_backed_up_too(
    heliograph: Command, account: str, tmp_path: Path
) -> None:
    (heliograph.folder / "demo-credentials.json").write_text("{}")
    files = heliograph.json("db", "backup", str(tmp_path / "copy"))["files"]
    assert sorted(files) == ["demo-credentials.json", DATABASE, "installed", "keys.json"]


def test_an_empty_folder_may_be_there_already(heliograph: Command, account: str, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    heliograph("db", "backup", str(tmp_path / "copy"))
    assert DATABASE in names(tmp_path / "copy")


def test_a_backup_never_overwrites(heliograph: Command, account: str, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    heliograph("db", "backup", str(target))
    before = (target / DATABASE).stat().st_mtime_ns
    assert "not empty" in heliograph("db", "backup", str(target), code=3).err
    assert (target / DATABASE).stat().st_mtime_ns == before
    (tmp_path / "file").write_text("")
    assert "not a folder" in heliograph("db", "backup", str(tmp_path / "file"), code=3).err


def test_a_backup_is_not_kept_in_what_it_is_a_backup_of(heliograph: Command, account: str) -> None:
    (heliograph.folder / "empty").mkdir()
    for place in (heliograph.folder, heliograph.folder / "copy", heliograph.folder / "empty"):
        assert "is in the data folder" in heliograph("db", "backup", str(place), code=3).err
    assert not (heliograph.folder / "copy").exists()


def test_a_backup_goes_nowhere_but_where_a_folder_is(heliograph: Command, account: str, tmp_path: Path) -> None:
    assert "mount" in heliograph("db", "backup", str(tmp_path / "no" / "such"), code=3).err
    assert not (tmp_path / "no").exists()


def test_without_room_nothing_is_begun(
    heliograph: Command, account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
    before = names(tmp_path)
    assert "10 B free" in heliograph("db", "backup", str(tmp_path / "copy"), code=3).err
    assert names(tmp_path) == before


def test_of_a_damaged_database_no_backup_is_kept(heliograph: Command, account: str, tmp_path: Path) -> None:
    damage(heliograph.folder / DATABASE)
    before = names(tmp_path)
    said = heliograph("db", "backup", str(tmp_path / "copy"), code=3).err
    assert "restore it from the backup" in said
    assert names(tmp_path) == before


def test_a_backup_that_is_stopped_half_way_leaves_nothing(
    heliograph: Command, account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SqliteMaintenance, "copy", interrupted)
    before = names(tmp_path)
    heliograph("db", "backup", str(tmp_path / "copy"), code=130)
    assert names(tmp_path) == before


def test_a_backup_has_what_is_still_in_the_log_and_nothing_that_comes_after_it_began(
    execute: apsw.Connection, heliograph: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute.execute("UPDATE balance SET balance_micros = 7000000").fetchall()  # stays in the log: a server's connection
    monkeypatch.setattr(maintenance, "STEP_PAGES", 1)
    flush, steps = maintenance._flush, []

    def writing_between(descriptor: int) -> None:
        steps.append(descriptor)
        assert len(steps) < 1_000, "every write makes the copy begin anew"
        execute.execute("UPDATE balance SET balance_micros = balance_micros + 1").fetchall()
        flush(descriptor)

    monkeypatch.setattr(maintenance, "_flush", writing_between)
    heliograph("db", "backup", str(tmp_path / "copy"))
    assert len(steps) > 10
    copy = apsw.Connection(str(tmp_path / "copy" / DATABASE))
    assert copy.execute("SELECT balance_micros FROM balance").get == 7_000_000
    copy.close()


def test_a_folder_without_a_database_has_nothing_to_back_up(heliograph: Command, tmp_path: Path) -> None:
    for words in (("backup", str(tmp_path / "copy")), ("migrate",), ("stats",)):
        assert "does not exist" in heliograph("db", *words, code=3).err
    assert not heliograph.folder.exists()


@pytest.mark.parametrize("words", [("db", "backup"), ("db", "migrate"), ("db", "stats"), ("doctor",)])
def test_every_command_has_an_example_in_its_help(heliograph: Command, words: tuple[str, ...]) -> None:
    assert f"  heliograph {' '.join(words)}" in heliograph(*words, "--help").out


# -- migrate


def test_data_of_this_version_need_no_migration(heliograph: Command, account: str) -> None:
    assert "nothing to do" in heliograph("db", "migrate").out
    assert heliograph.json("db", "migrate", "--check")["behind"] is False


def test_data_of_an_older_version_are_told_of_and_brought_up_to_date(
    heliograph: Command, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = heliograph.json("db", "stats")["newest_schema"]
    database = heliograph.folder / DATABASE
    older(database)
    before = database.read_bytes()
    assert f"schema 1, this program's is {newest}" in heliograph("db", "migrate", "--check", code=1).out
    assert database.read_bytes() == before
    assert heliograph.json("db", "migrate") == {"from": 1, "to": newest, "behind": True, "migrated": True}
    heliograph("db", "migrate", "--check")


def older(database: Path) -> None:
    """An empty database of the first version."""
    first = Path(maintenance.__file__).parent / "migrations" / "0001_first.sql"
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    connection = apsw.Connection(str(database))
    connection.execute(first.read_text()).fetchall()
    connection.execute("PRAGMA user_version = 1").fetchall()
    connection.close()


@pytest.mark.parametrize(
    "words",
    [
        ("account", "list"),
        ("account", "topup", "x", "5"),
        ("account", "create", "--name", "B", "--email", "b@example.com"),
        ("message", "list"),
        ("audit",),
    ],
)
def test_no_other_command_touches_data_of_an_older_version(
    heliograph: Command, account: str, words: tuple[str, ...]
) -> None:
    older(heliograph.folder / DATABASE)
    before = (heliograph.folder / DATABASE).read_bytes()
    said = heliograph(*words, code=3).err
    assert "have schema 1" in said
    assert "`heliograph db backup` and `heliograph db migrate` (or start the server)" in said
    assert (heliograph.folder / DATABASE).read_bytes() == before
    heliograph("db", "migrate")
    heliograph("audit")


def test_data_of_an_older_version_can_be_backed_up_and_measured(
    heliograph: Command, account: str, tmp_path: Path
) -> None:
    older(heliograph.folder / DATABASE)
    heliograph("db", "backup", str(tmp_path / "copy"))
    assert heliograph.json("db", "stats", "--data", str(tmp_path / "copy"))["schema"] == 1


# -- what belongs together


@pytest.fixture
def foreign(heliograph: Command, account: str, tmp_path: Path) -> Path:
    """The keys of another installation in the place of ours, which are returned."""
    load_or_create(tmp_path / "other")
    ours = (heliograph.folder / "keys.json").rename(tmp_path / "ours.json")
    shutil.copy2(tmp_path / "other" / "keys.json", heliograph.folder)
    return ours


@pytest.mark.parametrize("words", [("account", "list"), ("message", "list"), ("db", "backup", "copy")])
def test_keys_of_another_installation_are_refused(heliograph: Command, foreign: Path, words: tuple[str, ...]) -> None:
    said = heliograph(*words, code=3).err
    assert "keys.json is not the one that this database was made with; restore it" in said
    assert not Path("copy").exists()
    foreign.replace(heliograph.folder / "keys.json")
    heliograph(*words)


def test_the_doctor_tells_of_keys_of_another_installation(heliograph: Command, foreign: Path) -> None:
    printed = heliograph("doctor", code=1).out
    assert "keys.json is not the one that this database was made with" in printed
    assert "→ restore it from the backup" in printed
    assert "1 problem" in printed


def test_data_that_know_no_keys_adopt_those_that_they_are_served_with(
    heliograph: Command, account: str, tmp_path: Path
) -> None:
    older(heliograph.folder / DATABASE)
    heliograph("db", "migrate")
    heliograph("account", "list")
    (heliograph.folder / "keys.json").unlink()
    load_or_create(tmp_path / "other")
    shutil.copy2(tmp_path / "other" / "keys.json", heliograph.folder)
    assert "is not the one" in heliograph("account", "list", code=3).err


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        ("account", "list"),
        ("account", "create", "--name", "B", "--email", "b@example.com"),
        ("message", "show", "1"),
        ("db", "backup", "copy"),
        ("db", "migrate"),
        ("db", "stats"),
    ],
)
def test_a_lost_database_is_not_made_anew(
    heliograph: Command, account: str, words: tuple[str, ...], empty: bool
) -> None:
    database = heliograph.folder / DATABASE
    if empty:
        database.write_bytes(b"")
    else:
        database.unlink()
    said = heliograph(*words, code=3).err
    assert "is gone; restore it from the backup, or begin anew in another folder" in said
    assert "repeat" in said
    assert (database.read_bytes() == b"") if empty else not database.exists()


def test_of_lost_keys_and_a_lost_database_neither_is_made_anew(heliograph: Command, account: str) -> None:
    for name in (DATABASE, "keys.json"):
        (heliograph.folder / name).unlink()
    for words in (("account", "list"), ("account", "create", "--name", "B", "--email", "b@example.com")):
        assert "is gone" in heliograph(*words, code=3).err
    assert names(heliograph.folder) == ["installed"]
    assert "is gone" in heliograph("doctor", code=1).out


def test_a_folder_that_has_no_database_yet_gets_none_by_a_command_that_reads(heliograph: Command) -> None:
    load_or_create(heliograph.folder)
    assert "no database yet" in heliograph("account", "list", code=3).err
    assert names(heliograph.folder) == ["keys.json"]
    heliograph("account", "create", "--name", "B", "--email", "b@example.com")


def test_a_restored_backup_notices_too_when_its_database_is_lost(
    heliograph: Command, account: str, tmp_path: Path
) -> None:
    heliograph("db", "backup", str(tmp_path / "copy"))
    (tmp_path / "copy" / DATABASE).unlink()
    assert "is gone" in heliograph("account", "list", "--data", str(tmp_path / "copy"), code=3).err


def test_nothing_is_migrated_under_a_running_server(heliograph: Command, account: str) -> None:
    older(heliograph.folder / DATABASE)
    with (heliograph.folder / "heliograph.lock").open("w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        assert "4711" in heliograph("db", "migrate", code=3).err
    assert SqliteMaintenance(heliograph.folder).schema().found == 1


def test_data_of_a_newer_version_are_refused_with_what_to_do(heliograph: Command, execute: apsw.Connection) -> None:
    execute.execute("PRAGMA user_version = 999").fetchall()
    for words in (("migrate",), ("migrate", "--check"), ("stats",)):
        said = heliograph("db", *words, code=3).err
        assert "999" in said
        assert "run the version" in said


# -- stats


def test_the_figures_are_those_of_the_data(heliograph: Command, account: str) -> None:
    heliograph("account", "topup", account, "2.50")
    figures = heliograph.json("db", "stats")
    assert figures["ledger"] == {"topups": "7.5", "charges": "0", "refunds": "0", "balances": "7.5"}
    assert figures["rows"]["account"] == {"rows": 1, "precision": "exact"}
    assert figures["rows"]["posting"] == {"rows": 2, "precision": "exact"}
    assert figures["callbacks"] == {"pending": 0, "failed": 0}
    assert figures["oldest_message"] is None
    assert figures["database_bytes"] == (heliograph.folder / DATABASE).stat().st_size
    printed = heliograph("db", "stats").out
    for shown in ("schema", "7.5", "posting", "none"):
        assert shown in printed


def test_large_tables_are_not_counted_to_the_end_and_say_so(
    execute: apsw.Connection, heliograph: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "COUNTED_ROWS", 10)
    execute.execute(
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 50)"
        " INSERT INTO event SELECT i, 1, 0, 'x', '' FROM n"
    ).fetchall()
    execute.execute("INSERT INTO carrier (id, name) SELECT message_id + 100, message_id FROM event").fetchall()
    figures = heliograph.json("db", "stats")
    assert figures["rows"]["event"] == {"rows": 10, "precision": "at least"}  # without row ids
    assert figures["rows"]["carrier"] == {"rows": 50, "precision": "about"}
    assert "about 50" in heliograph("db", "stats").out


def test_measuring_leaves_no_trace(heliograph: Command, account: str) -> None:
    before = {file: file.stat().st_mtime_ns for file in heliograph.folder.iterdir()}
    heliograph("db", "stats")
    assert {file: file.stat().st_mtime_ns for file in heliograph.folder.iterdir()} == before


def test_sums_that_no_integer_of_the_database_holds_are_right(execute: apsw.Connection, heliograph: Command) -> None:
    execute.execute("DELETE FROM posting").fetchall()
    execute.execute(
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 12)"
        " INSERT INTO posting (account_id, kind, amount_micros, at_utc_ms) SELECT 1, 1, 999999999999999999, 0 FROM n"
    ).fetchall()
    assert heliograph.json("db", "stats")["ledger"]["topups"] == "11999999999999.999988"


def test_a_damaged_database_is_told_of(heliograph: Command, account: str) -> None:
    (heliograph.folder / DATABASE).write_bytes(b"not a database, and long enough to be looked at" * 100)
    for words in (("stats",), ("migrate", "--check")):
        assert "restore it from the backup" in heliograph("db", *words, code=3).err


def test_an_engine_that_is_asked_for_the_schema_counts_its_own_migrations(heliograph: Command, account: str) -> None:
    asked = SqliteMaintenance(heliograph.folder)
    newest = len(list((Path(maintenance.__file__).parent / "migrations").glob("*.sql")))
    assert asked.schema() == Schema(newest, newest)
    assert asked.size() == Size((heliograph.folder / DATABASE).stat().st_size, 0, 0)
