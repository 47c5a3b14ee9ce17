"""Accounts: made with their credentials, changed, charged, and noticed by a running server."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.conformance.store.books import Books, Engine, opened, run

from heliograph.messaging.accounts import Account, AccountStatus
from heliograph.messaging.numbers import NumberPolicy
from heliograph.store import interface as it

FULL = Account(
    id=0,
    ref="acme",
    name="Acme ✓",
    email="acme@example.net",
    status=AccountStatus.SUSPENDED,
    senders=frozenset({"96000", "Acme", "Größe"}),
    default_sender="Acme",
    price_list="gold",
    numbers=NumberPolicy.VALID,
    carrier="fast",
    sending=False,
    per_minute=100,
    countries=frozenset({"CL", "GB"}),
    networks=("10.0.0.0/8", "fd00::/8"),
    inbound=frozenset({"96000", "56912345678"}),
    intermediate=True,
    validity_seconds=60,
    dlr_url="https://a/",
    mo_url="https://b/",
    token_epoch=7,
    secret_generation=3,
    created_utc_ms=1234,
)


def test_account_comes_back_as_it_was_made(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        credentials = [it.Credential(1, "rt_abc", bytes(range(32))), it.Credential(2, "sk_abc", bytes(32))]
        made = await books.store.apply(it.CreateAccount(FULL, credentials, 500))
        assert made.id > 0
        assert made == msgspec.structs.replace(FULL, id=made.id, revision=made.revision)
        books = await books.reopened(clean=False)
        assert await books.store.read(lambda reads: reads.account("acme")) == made
        assert await books.store.read(lambda reads: reads.accounts()) == [made]
        assert await books.store.read(lambda reads: reads.accounts_since(0)) == [(made, credentials)]
        assert await books.balance(made.id) == 500
        anyone = await books.store.apply(
            it.CreateAccount(msgspec.structs.replace(FULL, ref="any", senders=None, inbound=frozenset()), [], 0)
        )
        nobody = await books.store.apply(
            it.CreateAccount(msgspec.structs.replace(FULL, ref="none", senders=frozenset(), inbound=frozenset()), [], 0)
        )
        found = await books.store.read(lambda reads: (reads.account("any"), reads.account("none")))
        assert found == (anyone, nobody)
        assert anyone.senders is None
        assert nobody.senders == frozenset()
        assert [row[:3] for row in await books.postings()] == [(made.id, "TOPUP", 500)]
        await books.store.close()

    run(scenario())


def test_unknown_accounts_are_none_and_have_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            assert await books.store.read(lambda reads: reads.account("nobody")) is None
            assert await books.balance(1) == 0
            assert await books.store.read(lambda reads: reads.balances()) == {}
            with pytest.raises(it.Missing):
                await books.store.apply(it.TopUp(1, 5, 1, ""))
            with pytest.raises(it.Missing):
                await books.store.apply(it.UpdateAccount(1, {"name": "x"}))
            assert await books.postings() == []

    run(scenario())


def test_ref_and_credentials_are_nobody_elses(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            credential = it.Credential(1, "rt_abc", bytes(32))
            first = await books.store.apply(it.CreateAccount(FULL, [credential], 100))
            for ref, credentials in (("acme", []), ("other", [credential])):
                with pytest.raises(it.Conflict):
                    await books.store.apply(it.CreateAccount(msgspec.structs.replace(FULL, ref=ref), credentials, 100))
            assert await books.store.read(lambda reads: reads.accounts()) == [first]
            assert await books.store.read(lambda reads: reads.balances()) == {first.id: 100}

    run(scenario())


def test_every_setting_can_be_changed_and_a_running_server_notices(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            plain = await books.account("plain")
            other = await books.account("other")
            changes = {
                name: getattr(FULL, name)
                for name in FULL.__struct_fields__
                if name not in ("id", "ref", "revision", "created_utc_ms")
            }
            seen = other.revision
            for name, value in changes.items():
                changed = await books.store.apply(it.UpdateAccount(plain.id, {name: value}))
                assert getattr(changed, name) == value
                news = await books.store.read(lambda reads, seen=seen: reads.accounts_since(seen))
                assert news == [(changed, [])]
                seen = changed.revision
            assert await books.store.read(lambda reads: reads.accounts_since(seen)) == []
            assert changed == msgspec.structs.replace(
                FULL, id=plain.id, ref="plain", created_utc_ms=plain.created_utc_ms, revision=seen
            )
            assert await books.store.read(lambda reads: reads.account("other")) == other

    run(scenario())


def test_changes_come_oldest_first(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            a, _, c = [await books.account(ref) for ref in "abc"]
            await books.store.apply(it.UpdateAccount(a.id, {"name": "again"}))
            news = await books.store.read(lambda reads: reads.accounts_since(0))
            assert [account.ref for account, _ in news] == ["b", "c", "a"]
            news = await books.store.read(lambda reads: reads.accounts_since(c.revision))
            assert [account.name for account, _ in news] == ["again"]

    run(scenario())


def test_top_up_answers_with_the_balance_after_it(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=0)
            assert await books.postings() == []
            results = await asyncio.gather(
                *(books.store.apply(it.TopUp(account.id, amount, 55, "note")) for amount in (100, -30, 5))
            )
            assert list(results) == [100, 70, 75]
            (posting, *_) = await books.store.read(lambda reads: reads.postings(0, 10))
            assert (posting.account_id, posting.amount_micros, posting.at_utc_ms) == (account.id, 100, 55)

    run(scenario())


def test_change_made_beside_a_running_server_is_seen_by_it_and_spent_at_once(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=0)
            beside = engine.new(exclusive=False)
            await beside.open()
            assert await beside.apply(it.TopUp(account.id, 30, 1, "by command")) == 30
            changed = await beside.apply(it.UpdateAccount(account.id, {"dlr_url": "http://x/"}))
            await beside.close()
            news = await books.store.read(lambda reads: reads.accounts_since(account.revision))
            assert news == [(changed, [])]
            assert await books.store.apply(books.request(account.id, [20, 20])) == [True, False]

    run(scenario())


def test_server_and_command_writing_at_once_lose_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=0)
            beside = engine.new(exclusive=False)
            await beside.open()

            async def top_up(store: it.Store) -> None:
                for _ in range(40):
                    await store.apply(it.TopUp(account.id, 1, 1, ""))

            await asyncio.gather(top_up(books.store), top_up(beside))
            await beside.close()
            assert await books.balance(account.id) == 80

    run(scenario())


def test_number_is_one_accounts_and_a_refused_change_changes_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            first = await books.account("first", inbound=frozenset({"96000", "56912345678"}))
            second = await books.account("second", inbound=frozenset({"97000"}))
            change = it.UpdateAccount(second.id, {"inbound": frozenset({"97001", "96000"}), "name": "new"})
            with pytest.raises(it.Conflict, match="96000"):
                await books.store.apply(change)
            with pytest.raises(it.Conflict, match="97000"):
                await books.account("third", inbound=frozenset({"97000"}))
            assert await books.store.read(lambda reads: reads.accounts()) == [first, second]
            given_up = await books.store.apply(it.UpdateAccount(first.id, {"inbound": frozenset({"56912345678"})}))
            assert given_up.inbound == {"56912345678"}
            changed = await books.store.apply(change)
            assert (changed.inbound, changed.name) == ({"97001", "96000"}, "new")
            again = await books.store.apply(it.UpdateAccount(second.id, {"name": "newer"}))
            assert again.inbound == changed.inbound
            assert await books.store.read(lambda reads: reads.accounts()) == [given_up, again]

    run(scenario())


def test_new_credentials_take_the_place_of_those_of_the_same_dialects_and_end_tokens(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            one, other, old = it.Credential(1, "rt_1", bytes(32)), it.Credential(2, "sk", bytes(32)), bytes(range(32))
            kept = it.Credential(1, "rt_kept", old)
            account = await books.store.apply(it.CreateAccount(FULL, [one, other], 0))
            await books.store.apply(
                it.CreateAccount(msgspec.structs.replace(FULL, ref="else", inbound=frozenset()), [kept], 0)
            )

            async def known() -> list[it.Credential]:
                news = await books.store.read(lambda reads: reads.accounts_since(0))
                return next(credentials for found, credentials in news if found.id == account.id)

            new = it.Credential(1, "rt_2", old)
            changed = await books.store.apply(it.ReplaceCredentials(account.id, [new]))
            expected = msgspec.structs.replace(account, revision=changed.revision)
            assert changed == expected
            assert changed.revision > account.revision
            assert await known() == [new, other]
            with pytest.raises(it.Conflict):
                await books.store.apply(it.ReplaceCredentials(account.id, [it.Credential(1, "rt_kept", bytes(32))]))
            assert await known() == [new, other]
            assert await books.store.read(lambda reads: reads.account(account.ref)) == changed
            with pytest.raises(it.Missing):
                await books.store.apply(it.ReplaceCredentials(12345, [one]))

    run(scenario())


def test_credit_is_spent_to_its_limit_and_no_further(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10)
            assert await books.store.read(lambda reads: reads.credit(account.id)) == 0
            assert await books.store.apply(it.SetCredit(account.id, 25)) == 10
            assert await books.store.read(lambda reads: reads.credit(account.id)) == 25
            stored, refused = it.Kept.STORED, it.Kept.REFUSED
            assert await books.store.apply(books.request(account.id, [20, 20, 15])) == [stored, refused, stored]
            assert await books.balance(account.id) == -25
            assert await books.store.apply(it.SetCredit(account.id, 0)) == -25
            assert await books.store.apply(books.request(account.id, [1])) == [refused]
            assert await books.store.apply(it.TopUp(account.id, 30, 1, "")) == 5
            assert await books.store.apply(books.request(account.id, [5])) == [stored]
            with pytest.raises(it.Missing):
                await books.store.apply(it.SetCredit(12345, 1))

    run(scenario())
