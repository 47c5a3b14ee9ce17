"""What is asked of the embedded engine alone: its files, and that no query of it reads a table from end to end."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.conformance.store.books import Books, SqliteEngine, opened, run

from heliograph.store import interface as it
from heliograph.store.sqlite import SqliteStore, queries
from heliograph.store.sqlite.engine import LOG_INDEX_BYTES, OLDEST_SQLITE, _steps, migrate

# Read from end to end, and why that is no harm.
SCANNED = {
    "ACCOUNTS": {"account"},  # all of them are asked for: a command's list
    "BALANCES": {"balance"},  # all of them are asked for: an audit
    "CARRIERS": {"carrier"},  # a handful of rows
    "STORED_CARRIERS": {"carrier"},
    "CROWDED_STRAYS": {"stray"},  # some 10,000 a carrier, once a minute
    "CROWDED_FAILURES": {"failure"},  # about 100,000 small entries of an index, once a minute: 6 ms
}


def named_queries() -> Iterator[tuple[str, str]]:
    for name, query in vars(queries).items():
        if not name.isupper() or name.startswith("_"):
            continue
        if isinstance(query, queries.Bulk):
            yield from ((f"{name} of {rows}", query.over(rows)) for rows in (1, 3, 256))
        elif isinstance(query, str):
            yield name, query


QUERIES = dict(named_queries())


@pytest.fixture(scope="module")
def empty() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    return connection


@pytest.fixture
def engine(tmp_path: Path) -> SqliteEngine:
    return SqliteEngine(tmp_path / "data")


def plan(connection: apsw.Connection, sql: str) -> list[str]:
    for count in itertools.count():
        try:
            return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", (None,) * count)]
        except apsw.BindingsError:
            assert count < 4000
    raise AssertionError


def test_every_query_is_seen() -> None:
    assert len(QUERIES) > 50
    assert set(SCANNED) <= set(QUERIES)


@pytest.mark.parametrize("name", list(QUERIES))
def test_no_query_reads_a_table_from_end_to_end(empty: apsw.Connection, name: str) -> None:
    tables = {row[0] for row in empty.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert {"message", "request", "posting", "callback", "part", "retry", "ref", "event"} <= tables
    scanned = {words[1] for line in plan(empty, QUERIES[name]) if (words := line.split())[0] == "SCAN"}
    assert scanned & tables == SCANNED.get(name, set())


@pytest.mark.parametrize(
    "name",
    [
        *("IN_DOUBT", "IN_DOUBT_RETRIES", "CLAIM_FIRST", "CLAIM_RETRIES", "DUE_RETRIES", "AWAITING_RECEIPT"),
        *("DUE_CALLBACKS", "DUE_CALLBACKS_OF_ACCOUNT", "ACCOUNTS_SINCE", "MESSAGES", "POSTINGS", "PAID_MESSAGES"),
    ],
)
def test_pages_come_in_the_order_of_an_index_and_sort_nothing(empty: apsw.Connection, name: str) -> None:
    assert not [line for line in plan(empty, QUERIES[name]) if "TEMP B-TREE" in line]


def test_newest_run_is_found_without_reading_the_others() -> None:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    connection.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
        " INSERT INTO ref SELECT 1, 1 + i / 1000, 'r' || i, i, 1 FROM n"
    )
    steps = 0

    def step() -> bool:
        nonlocal steps
        steps += 1
        return False

    connection.set_progress_handler(step, 100)
    assert connection.execute(queries.NEWEST_RUN, (1,)).get == 51
    assert steps < 20, f"about {100 * steps} steps"


def test_the_commit_is_durable_against_power_loss(engine: SqliteEngine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            pragmas = {}

            def look(connection: apsw.Connection) -> None:
                for name in ("journal_mode", "synchronous", "wal_autocheckpoint"):
                    pragmas[name] = connection.execute(f"PRAGMA {name}").get

            books.store.before = look  # type: ignore[attr-defined]
            await books.account()
            assert pragmas["journal_mode"] == "wal"
            assert pragmas["synchronous"] == 2  # FULL
            assert pragmas["wal_autocheckpoint"] > 0

    run(scenario())


def test_sqlite_is_one_without_the_wal_reset_bug() -> None:
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= OLDEST_SQLITE >= (3, 51, 3)


def test_older_sqlite_is_refused(engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.40.1")

    async def scenario() -> None:
        with pytest.raises(it.Unavailable, match=r"3\.40\.1"):
            await engine.new().open()

    run(scenario())
    assert not engine.folder.exists()


def test_only_the_owner_can_read_the_data(engine: SqliteEngine) -> None:
    async def scenario() -> None:
        umask = os.umask(0o022)
        try:
            async with opened(engine) as books:
                await books.account()
                assert stat.S_IMODE(engine.folder.stat().st_mode) == 0o700
                files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in engine.folder.iterdir()}
                written = [name for name in files if name.startswith("heliograph.sqlite")]
                assert len(written) == 3
                assert {name: oct(files[name]) for name in written} == dict.fromkeys(written, "0o600")
        finally:
            os.umask(umask)

    run(scenario())


def test_second_server_is_told_who_has_the_data(engine: SqliteEngine) -> None:
    async def scenario() -> None:
        async with opened(engine):
            with pytest.raises(it.Unavailable, match=f"pid {os.getpid()}"):
                await SqliteStore(engine.folder, exclusive=True).open()

    run(scenario())


def test_lock_of_a_killed_server_keeps_nobody_out(engine: SqliteEngine) -> None:
    engine.folder.mkdir()
    (engine.folder / "heliograph.lock").write_text("999999")

    async def scenario() -> None:
        async with opened(engine) as books:
            await books.account()

    run(scenario())


def test_file_that_is_no_database_is_refused_and_left_alone(engine: SqliteEngine) -> None:
    engine.folder.mkdir()
    file = engine.folder / "heliograph.sqlite"
    file.write_bytes(b"Dear diary, today was a day like any other. " * 50)

    async def scenario() -> None:
        for _ in range(2):
            with pytest.raises(it.Unavailable):
                await engine.new().open()

    run(scenario())
    assert file.read_bytes().startswith(b"Dear diary")


def test_folder_that_cannot_be_used_is_named(engine: SqliteEngine) -> None:
    engine.folder.parent.joinpath("data").write_text("a file, not a folder")

    async def scenario() -> None:
        with pytest.raises(it.Unavailable, match="data"):
            await engine.new().open()

    run(scenario())


def test_refused_newer_data_are_free_for_the_right_version(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        await books.store.close()
        engine.grown_schema()
        with pytest.raises(it.SchemaTooNew) as caught:
            await engine.new().open()
        monkeypatch.setattr("heliograph.store.sqlite.engine.migrate", lambda connection: None)
        again = engine.new()
        await again.open()  # within the same process: nothing holds the lock any more
        await again.close()
        del caught

    run(scenario())


def test_migrations_are_applied_once_and_in_order(engine: SqliteEngine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        for clean in (True, False, True):
            books = await books.reopened(clean=clean)
        assert await books.store.read(lambda reads: reads.accounts()) == [account]
        await books.store.close()

    run(scenario())


def first_schema(engine: SqliteEngine) -> bytes:
    """Data of the first version; the database's content."""
    engine.folder.mkdir()
    file = engine.folder / "heliograph.sqlite"
    connection = apsw.Connection(str(file))
    connection.execute(_steps()[0])
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    return file.read_bytes()


def test_short_commands_refuse_older_data_and_leave_them(engine: SqliteEngine) -> None:
    before = first_schema(engine)

    async def scenario() -> None:
        with pytest.raises(it.SchemaTooOld, match="heliograph db migrate"):
            await engine.new(exclusive=False).open()
        assert (engine.folder / "heliograph.sqlite").read_bytes() == before
        async with opened(engine) as books:
            await books.account()
        command = engine.new(exclusive=False)
        await command.open()
        await command.close()

    run(scenario())


def test_short_commands_read_while_another_process_writes(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.store.sqlite.engine.BUSY_MILLISECONDS", 0)

    async def scenario() -> None:
        async with opened(engine, fingerprint="ours") as books:
            account = await books.account()
            writing = apsw.Connection(str(engine.folder / "heliograph.sqlite"))
            writing.execute("BEGIN IMMEDIATE")
            command = engine.new(exclusive=False, fingerprint="ours")
            await command.open()
            assert await command.read(lambda reads: reads.accounts()) == [account]
            await command.close()
            writing.execute("ROLLBACK")
            writing.close()

    run(scenario())


def test_data_know_the_keys_that_they_were_made_with(engine: SqliteEngine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:  # of before fingerprints
            await books.account()
        for exclusive, fingerprint, fits in (
            (False, "theirs", True),  # nothing is adopted by a command
            (True, "ours", True),
            (True, "theirs", False),
            (False, "theirs", False),
            (False, "ours", True),
            (True, "ours", True),
        ):
            store = engine.new(exclusive=exclusive, fingerprint=fingerprint)
            if fits:
                await store.open()
                await store.close()
            else:
                with pytest.raises(it.ForeignKeys, match=r"keys\.json is not the one"):
                    await store.open()

    run(scenario())


@pytest.mark.parametrize("left", [None, b"", "no tables"])
def test_a_lost_database_is_noticed(engine: SqliteEngine, left: bytes | str | None) -> None:
    file = engine.folder / "heliograph.sqlite"

    async def scenario() -> None:
        async with opened(engine) as books:
            await books.account()
        file.unlink()
        if isinstance(left, bytes):
            file.write_bytes(left)
        elif left:
            connection = apsw.Connection(str(file))
            connection.execute("PRAGMA journal_mode = WAL; CREATE TABLE t (x); DROP TABLE t").fetchall()
            connection.close()
        for exclusive in (True, False):
            with pytest.raises(it.DataLost, match="message ids would repeat"):
                await engine.new(exclusive=exclusive).open()

    run(scenario())


def test_a_first_start_that_was_interrupted_begins_again(engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        with monkeypatch.context() as patched:
            patched.setattr("heliograph.store.sqlite.engine._steps", lambda: [_steps()[0], "CREATE TABLE broken ("])
            with pytest.raises(it.Unavailable):
                await engine.new().open()
        assert (engine.folder / "heliograph.sqlite").exists()
        connection = apsw.Connection(str(engine.folder / "heliograph.sqlite"))
        assert connection.execute("SELECT count(*) FROM sqlite_schema").get == 0  # the whole schema or none of it
        connection.close()
        async with opened(engine) as books:
            await books.account()

    run(scenario())


def test_the_index_of_the_log_has_its_room_before_the_disk_is_full(engine: SqliteEngine) -> None:
    """It would grow in the midst of a commit, and one that fails there is undone for us but not for a recovery."""

    async def scenario() -> None:
        async with opened(engine):
            index = engine.folder / "heliograph.sqlite-shm"
            before = index.stat()
            assert before.st_size >= LOG_INDEX_BYTES
            assert before.st_blocks * 512 >= LOG_INDEX_BYTES, "it has the size, but not the room"
            writing = apsw.Connection(str(engine.folder / "heliograph.sqlite"))
            writing.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
            writing.execute("CREATE TABLE filler (bytes BLOB)")
            while (engine.folder / "heliograph.sqlite-wal").stat().st_size < 20 * 1024 * 1024:  # 4062 pages: one region
                writing.execute("INSERT INTO filler VALUES (zeroblob(1000000))")
            writing.close()
            assert index.stat().st_size == before.st_size

    run(scenario())
