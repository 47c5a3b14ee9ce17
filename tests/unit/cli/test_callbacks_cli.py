"""`heliograph callback` and `heliograph inbound` without a server; the end-to-end tests have one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.cli.conftest import Command

from heliograph.cli import callback
from heliograph.cli.common import public_ids
from heliograph.kit.ids import PublicIds
from heliograph.messaging.submissions import Happening, Request, Submission
from heliograph.messaging.text import compose
from heliograph.service.notify import callback_id_of, webhook_ids
from heliograph.store import interface as it
from heliograph.store.sqlite import SqliteStore
from heliograph.webhooks import schedule

NOW = 1_767_225_600_000
FAILED, PENDING, TOLD, MO = 1, 2, 3, 4  # callbacks, in the order in which they are stored
MESSAGES = (11, 12, 13)


def report(ended: list[it.Ended]) -> list[it.CallbackDraft | None]:
    return [it.CallbackDraft("dlr", b'{"id":"%d"}' % one.message_id) for one in ended]


async def fill(store: it.Store) -> None:
    """Three delivered messages, whose reports failed, wait and were acknowledged, and two messages from phones."""
    (account,) = await store.read(lambda reads: reads.accounts())
    carrier = await store.apply(it.RegisterCarrier("simulator"))
    request = Request(11, account.id, 1, "96000", compose("Hello", 0, max_segments=10), NOW, NOW + 3_600_000)
    messages = [Submission(one, request, "56910000000", 1_000_000, carrier, 0, 0, one) for one in MESSAGES]
    await store.apply(it.Accept(request, messages))
    await store.apply(it.StoreTaken([it.Took(one, 1, 1, f"ref-{one}", NOW + 5) for one in MESSAGES]))
    endings = [it.Ending(one, Happening.RECEIPT_DELIVERED, NOW + 200, parts_taken=1) for one in MESSAGES]
    await store.apply(it.Finish(endings, report))
    await store.apply(it.ClaimCallbacks(NOW + 300, 10, schedule.CLAIM_DELAYS_SECONDS, frozenset()))
    event = "attempt 7 of 7: 500, failed"
    settled = [
        it.Settlement(FAILED, False, True, "500", NOW + 400, MESSAGES[0], event),
        it.Settlement(TOLD, True, False, "200", NOW + 400, MESSAGES[2], ""),
    ]
    await store.apply(it.SettleCallbacks(settled))
    told = it.CallbackDraft("mo", b'{"message":"Hi"}')
    drafts = [
        it.InboundDraft(carrier, account.id, "56912345678", "8300", "Hi", NOW + 500, told),
        it.InboundDraft(carrier, 0, "56912345678", "8301", "two\nlines", NOW + 600),
    ]
    await store.apply(it.StoreInbound(drafts))


def with_store(heliograph: Command, act: Callable[[it.Store], Any]) -> Any:
    async def run() -> Any:
        store = SqliteStore(heliograph.folder)
        await store.open()
        try:
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(run())


@pytest.fixture
def filled(heliograph: Command) -> Command:
    words = ("--name", "Acme", "--email", "x@acme.example", "--id", "acme", "--balance", "50")
    heliograph("account", "create", *words)
    heliograph("account", "callbacks", "acme", "--dlr-url", "https://acme.example/dlr")
    with_store(heliograph, fill)
    return heliograph


def known_as(heliograph: Command, internal: int) -> str:
    return webhook_ids(public_ids(heliograph.folder), [internal])[0]


def listed(heliograph: Command, *words: str) -> list[str]:
    return [one["id"] for one in heliograph.json("callback", "list", *words)]


def test_the_id_that_customers_know_leads_back_to_the_callback() -> None:
    ids = PublicIds(bytes(range(32)))
    internal = [1, 2, 1_000_000, (1 << 52) - 1]
    assert [callback_id_of(ids, known) for known in webhook_ids(ids, internal)] == internal
    message = ids.publish(5, 1)[0]
    for wrong in (f"cb_{message}", f"cb_0{message}", "cb_", "", "cb_-1", "cb_٣", "cb_9007199254740992", "1", "cb_1 "):
        assert callback_id_of(ids, wrong) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), [MO, TOLD, PENDING, FAILED]),
        (("--state", "failed"), [FAILED]),
        (("--state", "pending"), [MO, PENDING]),
        (("--state", "cancelled"), []),
        (("--kind", "mo"), [MO]),
        (("--state", "acknowledged", "--kind", "dlr", "--account", "Acme"), [TOLD]),
        (("--limit", "2"), [MO, TOLD]),
    ],
)
def test_callbacks_are_listed_newest_first(filled: Command, words: tuple[str, ...], expected: list[int]) -> None:
    assert listed(filled, *words) == [known_as(filled, one) for one in expected]
    printed = filled("callback", "list", *words).out
    assert [line.split()[0] for line in printed.splitlines()[1:]] == [known_as(filled, one) for one in expected]


def test_a_page_begins_after_the_one_before(filled: Command) -> None:
    assert listed(filled, "--before", known_as(filled, TOLD)) == [known_as(filled, one) for one in (PENDING, FAILED)]


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("list", "--state", "lost"), 2, "lost"),
        (("list", "--kind", "fax"), 2, "fax"),
        (("list", "--account", "nobody"), 1, "nobody"),
        (("list", "--before", "4"), 1, "there is no callback '4'"),
        (("show", "cb_12"), 1, "heliograph callback list"),
        (("replay",), 2, "--failed"),
        (("replay", "cb_12", "--failed"), 2, "one of the two"),
        (("replay", "cb_12", "--kind", "mo"), 2, "--failed"),
        (("replay", "cb_12"), 1, "there is no callback 'cb_12'"),
        (("replay", "--failed", "--account", "nobody"), 1, "nobody"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_remedy(
    filled: Command, words: tuple[str, ...], code: int, named: str
) -> None:
    assert named in filled("callback", *words, code=code).err


def test_a_failed_callback_is_shown_with_its_body_url_and_attempts(filled: Command) -> None:
    shown = filled.json("callback", "show", known_as(filled, FAILED))
    assert shown["message_id"] == str(public_ids(filled.folder).publish(MESSAGES[0], 1)[0])
    assert (shown["account_id"], shown["kind"], shown["state"]) == ("acme", "dlr", "failed")
    assert (shown["url"], shown["body"]) == ("https://acme.example/dlr", '{"id":"11"}')
    assert (shown["last_result"], shown["next_attempt"]) == ("500", None)
    expected = {"at": "2026-01-01T00:00:00.400Z", "event": "called back", "detail": "attempt 7 of 7: 500, failed"}
    assert shown["attempts"] == [expected]
    assert "attempt 7 of 7: 500, failed" in filled("callback", "show", known_as(filled, FAILED)).out


def test_a_pending_callback_is_shown_with_its_next_attempt_and_where_it_lacks_a_url_how_to_set_one(
    filled: Command,
) -> None:
    shown = filled.json("callback", "show", known_as(filled, MO))
    assert (shown["next_attempt"], shown["message_id"], shown["url"]) == ("2026-01-01T00:00:00.500Z", None, "")
    assert "heliograph account callbacks acme --mo-url URL" in filled("callback", "show", known_as(filled, MO)).out


def test_replaying_begins_a_new_run_of_seven_with_the_same_id_and_body(filled: Command) -> None:
    before = filled.json("callback", "show", known_as(filled, FAILED))
    began = int(time.time() * 1000)
    assert filled.json("callback", "replay", before["id"], known_as(filled, TOLD)) == {"replayed": 2}
    after = filled.json("callback", "show", before["id"])
    assert {key: after[key] for key in ("id", "body", "url", "created")} == {
        key: before[key] for key in ("id", "body", "url", "created")
    }
    assert (after["state"], after["attempt"]) == ("pending", 0)
    assert [one["event"] for one in after["attempts"]] == ["called back", "replayed"]
    due = with_store(filled, lambda store: store.read(lambda reads: reads.callback(FAILED))).next_utc_ms
    assert began + 1000 <= due, "a running server has looked at all that was due before now"


@pytest.mark.parametrize(("internal", "why"), [(PENDING, "still being called back"), (FAILED, "")])
def test_what_is_pending_is_left_alone_and_all_else_with_it(filled: Command, internal: int, why: str) -> None:
    filled("callback", "replay", known_as(filled, FAILED))
    said = filled("callback", "replay", known_as(filled, TOLD), known_as(filled, internal), code=1).err
    assert why in said
    assert known_as(filled, internal) in said
    assert listed(filled, "--state", "acknowledged") == [known_as(filled, TOLD)]


def test_a_replay_that_goes_nowhere_says_so(filled: Command) -> None:
    assert filled("callback", "replay", known_as(filled, FAILED)).err == ""
    filled("account", "callbacks", "acme", "--dlr-url", "")
    said = filled("callback", "replay", known_as(filled, TOLD)).err
    assert "note: acme has no URL for its dlr callbacks" in said
    assert "`heliograph account callbacks acme --dlr-url URL` sets one" in said


def test_all_that_failed_are_replayed_page_by_page(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail_all(store: it.Store) -> None:
        settled = [it.Settlement(one, False, True, "500", NOW) for one in (PENDING, MO)]
        await store.apply(it.SettleCallbacks(settled))

    with_store(filled, fail_all)
    monkeypatch.setattr(callback, "_PAGE", 1)
    assert "1 callback replayed: a new run of seven" in filled("callback", "replay", "--failed", "--kind", "mo").out
    assert filled.json("callback", "replay", "--failed", "--account", "acme") == {"replayed": 2}
    assert filled("callback", "replay", "--failed").out == "0 callbacks replayed\n"
    assert listed(filled, "--state", "pending") == [known_as(filled, one) for one in (MO, PENDING, FAILED)]


# -- heliograph inbound


def test_messages_from_phones_are_listed_newest_first(filled: Command) -> None:
    newest, oldest = filled.json("inbound", "list")
    assert oldest == {
        "id": 1,
        "received": "2026-01-01T00:00:00.500Z",
        "account_id": "acme",
        "from": "+56912345678",
        "to": "8300",
        "carrier": "simulator",
        "text": "Hi",
    }
    assert (newest["account_id"], newest["to"]) == (None, "8301")
    assert filled.json("inbound", "list", "--account", "acme") == [oldest]
    assert filled.json("inbound", "list", "--unowned") == [newest]
    assert filled.json("inbound", "list", "--limit", "1") == [newest]
    assert filled.json("inbound", "list", "--before", "2") == [oldest]


def test_a_text_cannot_break_the_table(filled: Command) -> None:
    printed = filled("inbound", "list").out.splitlines()
    assert len(printed) == 3
    assert r"two\nlines" in printed[1]


def test_a_long_text_is_cut_short_in_the_table_only(filled: Command) -> None:
    async def receive(store: it.Store) -> None:
        carrier = await store.apply(it.RegisterCarrier("simulator"))
        await store.apply(it.StoreInbound([it.InboundDraft(carrier, 1, "56912345678", "8300", "x" * 200, NOW + 700)]))

    with_store(filled, receive)
    assert f" {'x' * 59}…\n" in filled("inbound", "list").out
    assert filled.json("inbound", "list")[0]["text"] == "x" * 200


def test_what_is_unowned_is_no_accounts(filled: Command) -> None:
    assert "--unowned" in filled("inbound", "list", "--unowned", "--account", "acme", code=2).err
    assert "nobody" in filled("inbound", "list", "--account", "nobody", code=1).err
