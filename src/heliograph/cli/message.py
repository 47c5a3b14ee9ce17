"""`heliograph message`: what there is, and what happened to one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from heliograph.cli.common import (
    DATA_FOLDER,
    WRONG,
    Data,
    Json,
    MessageId,
    find_account,
    group,
    print_json,
    print_pairs,
    public_ids,
    read,
    refuse,
    require_data,
    say,
    show_time,
)
from heliograph.cli.inputs import recipient_of
from heliograph.cli.listing import Before, Limit, OfAccount, one_line, print_rows
from heliograph.cli.times import instant_utc_ms
from heliograph.kit.ids import BITS, PublicIds
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.operators import OperatorSource, OperatorTable
from heliograph.messaging.pricing import exact
from heliograph.messaging.submissions import Status
from heliograph.messaging.text import Encoding
from heliograph.store.interface import CALLED_BACK, REPLAYED, Callback, Event, MessageFilter, Reads, StoredMessage
from heliograph.webhooks import schedule

commands = group("Messages: list, show, what happened.")

_Parts = list[tuple[int, str, ReceiptState | None]]


class Story(msgspec.Struct, frozen=True):
    """A message with everything that the store knows of it."""

    message: StoredMessage
    account: str
    carrier: str
    parts: _Parts
    events: list[Event]
    callbacks: list[Callback]


@commands.command()
def show(message: MessageId, data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Show text, status and cost.

    \b
    heliograph message show 4193366853543393
    """
    story = _load(data, message)
    shown = {"id": message, "account_id": story.account, **_view(story.message), "carrier": story.carrier}
    shown["operator"] = _operator(story.message)
    shown["parts"] = [{"part": part, "carrier_id": ref, "receipt": _receipt(state)} for part, ref, state in story.parts]
    if json:
        print_json(shown)
        return
    operator = shown.pop("operator")
    parts = shown.pop("parts")
    print_pairs(
        [
            *((name.replace("_", " "), one_line(value)) for name, value in shown.items()),
            (
                "operator",
                f"{operator['name']} ({operator['mcc']}/{operator['mnc']})" if operator["name"] else "unknown",
            ),
            *((f"part {one['part']}", f"{one['carrier_id']}, receipt: {one['receipt'] or 'none'}") for one in parts),
        ]
    )


class StatusName(StrEnum):
    """A status, as it is typed."""

    PENDING = "pending"
    SENT = "sent"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    UNDELIVERED = "undelivered"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


@commands.command("list")
def list_(
    account: OfAccount = None,
    status: Annotated[
        StatusName | None, typer.Option("--status", case_sensitive=False, help="Only those that stand so.")
    ] = None,
    recipient: Annotated[str, typer.Option("--recipient", metavar="NUMBER", help="Only those to this number.")] = "",
    sender: Annotated[str, typer.Option("--sender", metavar="SENDER", help="Only those from this sender.")] = "",
    carrier: Annotated[
        str | None, typer.Option("--carrier", metavar="NAME", help="Only those that go through this carrier.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only those accepted then or later: 2026-01-31T09:30 (UTC), or how long ago: 2h.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Only those accepted before, written like --since.")
    ] = None,
    limit: Limit = 20,
    before: Before = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """List messages, newest first.

    \b
    heliograph message list
    heliograph message list --account demo --limit 100 --json
    heliograph message list --status undelivered --since 2h
    heliograph message list --recipient +56912345678 --since 2026-01-31 --until 2026-02-01
    """
    wanted = MessageFilter(
        status=Status[status.name] if status else None,
        recipient=recipient_of("--recipient", recipient) if recipient else "",
        sender=sender,
        since_utc_ms=instant_utc_ms("--since", since) if since else 0,
        until_utc_ms=instant_utc_ms("--until", until) if until else None,
    )
    require_data(data)
    ids = public_ids(data)
    below = _internal(ids, before) if before is not None else None
    if below == 0:
        refuse(f"--before {before}: there is no such message; use a submissionId as the API returned it", WRONG)

    def query(reads: Reads) -> list[dict[str, Any]]:
        chosen = msgspec.structs.replace(
            wanted,
            account_id=find_account(reads, account).id if account else None,
            carrier_id=_carrier_id(reads, carrier) if carrier is not None else None,
        )
        refs = {one.id: one.ref for one in reads.accounts()}
        return [
            {"id": _public(ids, one.id), "account_id": refs.get(one.account_id, ""), **_view(one)}
            for one in reads.messages(chosen, limit, below)
        ]

    keys = ("id", "account_id", "status", "recipient", "sender", "cost", "registered")
    print_rows(read(data, query), keys, json=json)


def _carrier_id(reads: Reads, name: str) -> int:
    names = reads.carriers()
    for id_, known in names.items():
        if known == name:
            return id_
    return refuse(
        f"--carrier {name!r}: there is no such carrier; there are {', '.join(sorted(names.values())) or 'none yet'}"
    )


@commands.command()
def timeline(message: MessageId, data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Tell what happened to it, and when.

    Accepted, charged, sent, retried, reported, called back: with what is still to come.

    \b
    heliograph message timeline 4193366853543393
    """
    story = _load(data, message)
    lines = sorted(tell(story), key=lambda line: line.at_utc_ms)
    if json:
        print_json([{"at": show_time(line.at_utc_ms), "event": line.event, "detail": line.detail} for line in lines])
        return
    say(f"message {message} of account {story.account} to +{story.message.recipient}")
    for line in lines:
        say(f"  {show_time(line.at_utc_ms)}  {line.event:<12}  {line.detail}".rstrip())


def _load(data: Path, message: str) -> Story:
    """Everything about a message by its public id."""
    if not message:
        refuse("the message's ID is empty; give a submissionId as the API returned it", WRONG)
    require_data(data)
    ids = public_ids(data)
    internal = _internal(ids, message)

    def query(reads: Reads) -> Story | None:
        found = reads.message(internal)
        if found is None:
            return None
        account = next((one.ref for one in reads.accounts() if one.id == found.account_id), "")
        carrier = reads.carriers().get(found.carrier_id, "")
        return Story(
            found, account, carrier, reads.parts(internal), reads.events(internal), reads.callbacks_of(internal)
        )

    story = read(data, query) if internal else None
    if story is None:
        refuse(f"there is no message {message}; use a submissionId as the API returned it")
    return story


def _internal(ids: PublicIds, public: str) -> int:
    """The internal id of a message by its public one; 0 when there can be none."""
    well_formed = public.isascii() and public.isdigit() and not public.startswith("0") and len(public) <= 16
    return ids.resolve(int(public)) if well_formed and not int(public) >> BITS else 0


def _public(ids: PublicIds, internal: int) -> str:
    return str(ids.publish(internal, 1)[0])


def _view(message: StoredMessage) -> dict[str, Any]:
    return {
        "status": message.status.name,
        "recipient": f"+{message.recipient}",
        "sender": message.sender,
        "text": message.text,
        "encoding": Encoding(message.encoding).name,
        "segments": message.segments,
        "price": exact(message.price_micros),
        "cost": exact(0 if message.refunded else message.price_micros),
        "tries": message.tries,
        "registered": show_time(message.registered_utc_ms),
        "send_at": show_time(message.send_at_utc_ms),
        "sent": show_time(message.sent_utc_ms),
        "done": show_time(message.done_utc_ms),
        "expires": show_time(message.expires_utc_ms),
        "carrier_id": message.ref,
        "detail": message.detail,
        "reference": message.reference,
        "callback_url": message.callback_url or None,
        "request_id": f"req_{message.trace}" if message.trace else None,
    }


def _operator(message: StoredMessage) -> dict[str, str]:
    from heliograph.app import load_operators

    table: OperatorTable = load_operators()
    found = table.by_id(message.operator_id)
    source = OperatorSource(message.operator_source).name.lower()
    return {"id": str(found.id), "name": found.name, "mcc": found.mcc, "mnc": found.mnc, "source": source}


def _receipt(state: ReceiptState | None) -> str | None:
    return None if state is None else state.name


# -- the story


def tell(story: Story) -> Iterator[Event]:
    """What happened to a message, in no order."""
    message = story.message
    segments = f"{message.segments} segment{'s' * (message.segments != 1)}"
    yield Event(message.registered_utc_ms, "accepted", f"from {message.sender}, {segments}")
    yield Event(message.registered_utc_ms, "charged", exact(message.price_micros))
    if message.send_at_utc_ms:
        due = message.send_at_utc_ms
        yield Event(message.registered_utc_ms, "scheduled", f"for {show_time(due)}")
    yield from story.events
    if message.sent_utc_ms:
        refs = [f"part {part} as {ref}" for part, ref, _ in story.parts] or [f"as {message.ref}"]
        yield Event(message.sent_utc_ms, "sent", f"{story.carrier} took it {', '.join(refs)}")
    if message.done_utc_ms:
        yield Event(message.done_utc_ms, message.status.name.lower(), message.detail)
        if message.refunded:
            yield Event(message.done_utc_ms, "refunded", exact(message.price_micros))
    failed = {event.detail.partition(" of ")[0] for event in _of_this_run(story.events) if event.event == CALLED_BACK}
    for callback in story.callbacks:
        yield from _tell_callback(callback, failed)


def _of_this_run(events: Sequence[Event]) -> Sequence[Event]:
    """What came after the last replay, which begins to count attempts anew."""
    replays = [place for place, event in enumerate(events) if event.event == REPLAYED]
    return events[replays[-1] :] if replays else events


def _tell_callback(callback: Callback, failed: set[str]) -> Iterator[Event]:
    """What is known of a callback besides its attempts that `failed`: when it was written, how it stands, the next."""
    where = callback.url or "the account's URL"
    yield Event(callback.created_utc_ms, "callback", f"{callback.kind} for {where}")
    if callback.attempt and (callback.state == "acknowledged" or f"attempt {callback.attempt}" not in failed):
        begun = callback.next_utc_ms - schedule.CLAIM_DELAYS_SECONDS[callback.attempt - 1] * 1000
        result = callback.last_result or "no answer yet"
        state = f", {callback.state}" if callback.state != "pending" else ""
        yield Event(begun, CALLED_BACK, f"attempt {callback.attempt} of {schedule.ATTEMPTS}: {result}{state}")
    if callback.state == "pending" and callback.attempt < schedule.ATTEMPTS:
        yield Event(callback.next_utc_ms, "next", f"attempt {callback.attempt + 1} of {schedule.ATTEMPTS} is due")
