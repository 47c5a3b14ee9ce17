"""The auditor: what must be true in the end, by a replay that knows nothing of the engine's SQL."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tests.simulation.rig import KEY

from heliograph.kit.ids import PublicIds
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.errors import HeliographError
from heliograph.messaging.ledger import PostingKind
from heliograph.messaging.retry import DoubtPolicy
from heliograph.messaging.submissions import Status
from heliograph.service.audit import audit
from heliograph.store import interface as it

if TYPE_CHECKING:
    from tests.simulation.world import Life, Smsc, World

NOTES = ("sent again", "no answer")
ENDS = {
    ReceiptState.DELIVERED: Status.DELIVERED,
    ReceiptState.UNDELIVERABLE: Status.UNDELIVERED,
    ReceiptState.DELETED: Status.UNDELIVERED,
    ReceiptState.REJECTED: Status.REJECTED,
    ReceiptState.EXPIRED: Status.EXPIRED,
    ReceiptState.UNKNOWN: Status.UNKNOWN,
}


def judge(world: World, life: Life) -> None:
    """Raise `Broken` when any promise was."""
    look = life.store.look
    messages = {one.id: one for one in look(lambda reads: reads.messages(it.MessageFilter(), 1 << 30))}
    _customers(world, messages)
    _money(world, life, messages)
    _callbacks(world, life, messages)
    _validities(world, messages)
    _regrets(world, messages)
    for smsc in world.smscs:
        mine = {id_: message for id_, message in messages.items() if message.carrier_id == life.carrier_ids[smsc.name]}
        notes = {id_: look(lambda reads, id_=id_: reads.events(id_)) for id_ in mine}
        counts = {id_: sum(event.event.startswith(NOTES) for event in events) for id_, events in notes.items()}
        _wire(smsc, mine, counts)
        _fates(world, smsc, mine, counts)
    _one_carrier_each(world, messages)
    _strays(life)
    _nothing_left(world, life)
    for task in life.tasks:
        if task.done():
            task.result()  # only changes of carriers end
    for account_id in world.accounts:
        listed = [
            one.id
            for one in look(lambda reads, id_=account_id: reads.messages(it.MessageFilter(account_id=id_), 1 << 30))
        ]
        own = sorted((id_ for id_, one in messages.items() if one.account_id == account_id), reverse=True)
        check(listed == own, "an account's list is not its messages")


def check(kept: object, what: str) -> None:
    from tests.simulation.world import promise

    promise(kept, what)


def _customers(world: World, messages: dict[int, it.StoredMessage]) -> None:
    """What customers were told is so; what they were not told may be either way, but wholly."""
    public = PublicIds(KEY)
    promised: set[int] = set()
    unanswered = False
    for asked in world.asked:
        if asked.answer is None:
            unanswered = True
            check(not asked.life.clock.alive or asked.life.fatal, "a request was never answered")
        elif isinstance(asked.answer, HeliographError):
            unanswered = unanswered or bool(asked.life.fatal)  # 503 because nobody knew
        else:
            check(len(asked.answer) == len(asked.recipients), "not a verdict for every recipient")
            for verdict, recipient in zip(asked.answer, asked.recipients, strict=True):
                if isinstance(verdict, HeliographError) or verdict.refused is not None:
                    continue
                id_ = public.resolve(verdict.public_id)
                check(id_ not in promised, f"id {id_} was given twice")
                promised.add(id_)
                check(id_ in messages, f"message {id_} was promised and does not exist")
                message = messages[id_]
                told = (message.account_id, message.recipient)
                check(told == (asked.account_id, recipient), f"message {id_} is {told}")
    check(promised <= set(messages), "promised messages are missing")
    if not unanswered:
        check(promised == set(messages), f"never promised: {sorted(set(messages) - promised)[:5]}")


def _money(world: World, life: Life, messages: dict[int, it.StoredMessage]) -> None:
    postings = life.store.look(lambda reads: reads.postings(0, 1 << 30))
    requests = dict(life.store.ask("SELECT id, request_id FROM message"))
    cost: Counter[int] = Counter()
    for id_, message in messages.items():
        cost[requests[id_]] += message.price_micros
    charges: dict[int, list[int]] = defaultdict(list)
    refunds: dict[int, list[int]] = defaultdict(list)
    sums: Counter[int] = Counter()
    for posting in postings:
        sums[posting.account_id] += posting.amount_micros
        if posting.kind is PostingKind.CHARGE:
            charges[posting.request_id].append(-posting.amount_micros)
        elif posting.kind is PostingKind.REFUND:
            refunds[posting.message_id].append(posting.amount_micros)
        check(sums[posting.account_id] >= 0, "a balance went below zero")
    check(charges == {id_: [total] for id_, total in cost.items()}, "not every request was charged once")
    expected = {id_: [one.price_micros] for id_, one in messages.items() if one.refunded}
    check(refunds == expected, "not every refund was made once")
    balances = life.store.look(lambda reads: reads.balances())
    check(balances == {id_: sums[id_] for id_ in balances}, "a balance is not the sum of its postings")
    for account_id, account in world.accounts.items():
        left = world.customers[account.ref]["balance"] - sum(
            one.price_micros for one in messages.values() if one.account_id == account_id and not one.refunded
        )
        check(balances[account_id] == left, f"{account.ref} has {balances[account_id]} and should have {left}")
    found = life.store.look(audit)
    check(not found.found, f"`audit` finds {found.differences}")


def _callbacks(world: World, life: Life, messages: dict[int, it.StoredMessage]) -> None:
    for id_, message in messages.items():
        found = life.store.look(lambda reads, id_=id_: reads.callbacks_of(id_))
        told = [(*one.body.decode().split(), one.state) for one in found]
        if told and told[0][1] == "SENT":
            check(message.account_id in world.intermediate, f"message {id_}: SENT was told to who did not ask for it")
            world.happened["told of SENT"] += 1
            del told[0]
        pending = [status for _, status, state in told if state == "pending"]
        check(pending == [message.status.name], f"message {id_} is {message.status.name}, told: {told}")
        other = {(status, state) for _, status, state in told if state != "pending"}
        check(other <= {("UNKNOWN", "cancelled")}, f"message {id_} has callbacks {told}")


def _validities(world: World, messages: dict[int, it.StoredMessage]) -> None:
    """Nobody is given up before the time."""
    for id_, message in messages.items():
        if message.detail.startswith("the validity ended"):
            world.happened[f"lapsed, {message.status.name}"] += 1
            check(message.done_utc_ms >= message.expires_utc_ms, f"message {id_} lapsed before its time")
        if message.status is Status.EXPIRED and message.refunded:
            check(message.detail.startswith("the validity ended"), f"message {id_} is EXPIRED and refunded")
        if message.detail.startswith("no receipt"):
            world.happened[f"silent, {message.status.name}"] += 1
            given_up = message.expires_utc_ms + it.SILENCE_MS
            check(message.done_utc_ms >= given_up, f"message {id_} was given up before its time")


def _regrets(world: World, messages: dict[int, it.StoredMessage]) -> None:
    """What is cancelled was never taken, and gave its price back."""
    on_wire = {one.submission.id for smsc in world.smscs for _, one in smsc.wire}
    for id_, message in messages.items():
        if message.status is Status.CANCELLED:
            world.happened["cancelled, scheduled" if message.send_at_utc_ms else "cancelled"] += 1
            taken = any(
                smsc.takes[id_, part] for smsc in world.smscs for part in range(1, smsc.parts_of(message.segments) + 1)
            )
            check(not taken, f"message {id_} was taken and is cancelled")
            check(message.refunded or not message.price_micros, f"message {id_} was cancelled and not refunded")
        check(message.status is Status.CANCELLED or id_ not in world.cancelled, f"message {id_} is not cancelled")
        if message.send_at_utc_ms and id_ in on_wire:
            world.happened["sent later"] += 1


def _wire(smsc: Smsc, messages: dict[int, it.StoredMessage], notes: dict[int, int]) -> None:
    """Nothing doubled but what is noted, and no more at once than the window."""
    for (id_, part), takes in smsc.takes.items():
        check(id_ in messages, f"message {id_} was sent and does not exist")
        check(takes - 1 <= notes[id_], f"part {part} of {id_} was taken {takes} times, noted {notes[id_]} times")
        if smsc.doubt is DoubtPolicy.HOLD:
            check(takes == 1, f"part {part} of {id_} was taken {takes} times although doubts are held")
    lives: dict[tuple[int, int, int], set[int]] = defaultdict(set)
    for life, one in smsc.wire:
        lives[one.submission.id, one.submission.number, one.part].add(life)
    doubles: Counter[int] = Counter()
    for where in lives.values():
        doubles.update(sorted(where)[1:])
    worst = max(doubles.values(), default=0)
    check(worst <= smsc.window, f"{worst} parts were handed over again after one crash, the window is {smsc.window}")


def _fates(world: World, smsc: Smsc, messages: dict[int, it.StoredMessage], notes: dict[int, int]) -> None:
    """Every status is one that what the carrier did can explain."""
    for id_, message in messages.items():
        parts = smsc.parts_of(message.segments)
        taken = [part for part in range(1, parts + 1) if smsc.takes[id_, part]]
        check(message.status.final, f"message {id_} is {message.status.name}")
        if message.refunded:
            check(not taken, f"message {id_} was refunded, parts {taken} were taken")
            check(id_ not in smsc.unanswered, f"message {id_} was refunded, an answer was never had")
        if message.status is Status.DELIVERED:
            check(len(taken) == parts, f"message {id_} is DELIVERED, only {taken} were taken")
        if not taken and not message.refunded:
            check(
                message.status is Status.UNKNOWN or id_ in smsc.unanswered or message.price_micros == 0,
                f"message {id_} is {message.status.name}, nothing was taken and nothing refunded",
            )
        if smsc.doubt is DoubtPolicy.HOLD and message.status is Status.UNKNOWN and "stopped before" in message.detail:
            continue
        if len(taken) == parts and not notes[id_] and id_ not in smsc.unanswered:
            finals = [smsc.told[id_, part] for part in taken]
            stay = [next((one for one in told if one is not ReceiptState.UNKNOWN), None) for told in finals]
            check(all(stay) or world.silence, f"message {id_}: receipts {finals}")
            possible = {ENDS[one] for one in stay if one is not None and one is not ReceiptState.DELIVERED}
            possible = possible or {Status.DELIVERED if all(stay) else Status.UNKNOWN}
            if any(ReceiptState.UNKNOWN in told for told in finals):
                possible.add(Status.UNKNOWN)
            check(message.status in possible, f"message {id_} is {message.status.name}, receipts {finals}")


def _one_carrier_each(world: World, messages: dict[int, it.StoredMessage]) -> None:
    """A carrier that took a part of a message, or did not answer for it, is the only one that ever has it from then
    on; and a message whose carrier is not its account's own was refused there.
    """
    for id_, message in messages.items():
        own = world.accounts[message.account_id].carrier
        for smsc in world.smscs:
            taken = [part for (of, part), takes in smsc.takes.items() if of == id_ and takes]
            if smsc.name != world.life_carrier(message):
                check(not taken, f"message {id_} left {smsc.name}, which had taken {taken}")
                check(id_ not in smsc.unanswered, f"message {id_} left {smsc.name}, which never answered for it")
        if own != world.life_carrier(message):
            check(own == "two", f"message {id_} left the default route")
            world.happened["rerouted"] += 1


def _strays(life: Life) -> None:
    """No receipt stays a stray that could still end its message."""
    left = life.store.ask(
        "SELECT s.ref FROM stray s JOIN message m ON m.carrier_id = s.carrier_id AND m.ref = s.ref"
        " WHERE m.status IN (1, 6) AND s.state NOT IN (0, 1, 6, 7)"
    )
    check(not left, f"receipts {left} have a message that waits for them, and are strays")


def _nothing_left(world: World, life: Life) -> None:
    check(not life.store.ask("SELECT * FROM retry"), "tries are left over")
    for lane in life.dispatch.lanes.values():
        left = (lane.waiting, lane._granted, lane._on_wire, len(lane._assemblies), len(lane._ready), len(lane._queue))
        check(left == (0, 0, 0, 0, 0, 0), f"the lane of {lane.carrier.name} keeps {left}")
    check(not life.receive._waiting and not life.receive._owed, "receipts are left over")
