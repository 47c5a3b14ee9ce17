"""Asking: about one's own messages, by ids that tell nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.rig import KEY, PRICE, Rig, ScriptedCarrier, run, settle

from heliograph.kit.ids import BITS, PublicIds
from heliograph.messaging import errors
from heliograph.messaging.operators import UNKNOWN_OPERATOR, Operator, OperatorTable
from heliograph.messaging.retry import SubmitClass
from heliograph.messaging.submissions import Status
from heliograph.service.query import Query
from heliograph.store.interface import MessageFilter


def test_account_sees_its_message_and_what_it_costs_now(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        query = Query(rig.store, PublicIds(KEY), OperatorTable({}, {}))
        kept, refunded = await rig.accept(2)
        carrier.answer(SubmitClass.TAKEN, SubmitClass.PERMANENT)
        await settle()
        for id_, status, cost in ((kept, Status.SENT, PRICE), (refunded, Status.REJECTED, 0)):
            public = str(PublicIds(KEY).publish(id_, 1)[0])
            view = await query.message(rig.account.id, public)
            assert (view.public_id, view.message.id, view.message.status) == (public, id_, status)
            assert view.cost_micros == cost
            assert view.operator is UNKNOWN_OPERATOR
        assert await query.balance_micros(rig.account.id) == rig.balance()

    run(scenario())


def test_operator_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        entel = Operator(188, "Entel", "730", "01")
        accept = rig.drafts()
        accept.submissions[0].operator_id = 188
        await rig.store.apply(accept)
        query = Query(rig.store, PublicIds(KEY), OperatorTable({188: entel}, {}))
        view = query.view(rig.message(accept.submissions[0].id))
        assert view.operator == entel

    run(scenario())


def test_other_accounts_unknown_and_malformed_ids_are_all_the_same_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        query = Query(rig.store, PublicIds(KEY), OperatorTable({}, {}))
        (id_,) = await rig.accept()
        mine = str(PublicIds(KEY).publish(id_, 1)[0])
        strangers = [(rig.account.id + 1, mine)]
        for wrong in ("", "0", "1", f"0{mine}", f"+{mine}", f" {mine}", f"{mine}\n", "abc", "-1", "1e3", "１２３"):
            strangers.append((rig.account.id, wrong))
        for huge in (1 << BITS, 10**16 - 1, 10**17, 1 << 200, int(mine) + (1 << BITS)):
            strangers.append((rig.account.id, str(huge)))
        seen = set()
        for account_id, public_id in strangers:
            with pytest.raises(errors.CallerError) as caught:
                await query.message(account_id, public_id)
            seen.add((caught.value.kind, caught.value.detail))
        assert len(seen) == 1

    run(scenario())


def test_a_cursor_is_the_id_of_a_message_of_this_account(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        query = Query(rig.store, PublicIds(KEY), OperatorTable({}, {}))
        ids = await rig.accept(3)
        wanted = MessageFilter(account_id=rig.account.id)
        (newest,), cursor = await query.messages(wanted, 1)
        assert newest.message.id == ids[-1]
        rest, end = await query.messages(wanted, 5, cursor)
        assert ([one.message.id for one in rest], end) == (ids[1::-1], "")
        nobodys = str(PublicIds(KEY).publish(ids[-1] + 1000, 1)[0])
        for account_id, wrong in (
            (rig.account.id + 1, cursor),
            (rig.account.id, nobodys),
            (rig.account.id, cursor[:-1]),
        ):
            with pytest.raises(errors.CallerError) as caught:
                await query.messages(MessageFilter(account_id=account_id), 1, wrong)
            assert (caught.value.kind, caught.value.pointer) == (errors.QUERY_INVALID, "/cursor")

    run(scenario())
