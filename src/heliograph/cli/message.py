"""`heliograph message`: what there is, and what happened to one."""

from __future__ import annotations

from collections.abc import Iterator
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
    print_table,
    public_ids,
    read,
    refuse,
    require_data,
    say,
    show_time,
)
from heliograph.kit.ids import BITS, PublicIds
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.operators import OperatorSource, OperatorTable
from heliograph.messaging.pricing import exact
from heliograph.messaging.text import Encoding
from heliograph.store.interface import CALLED_BACK, Callback, Event, Reads, StoredMessage
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
            *((name.replace("_", " "), "" if value is None else value) for name, value in shown.items()),
            (
                "operator",
                f"{operator['name']} ({operator['mcc']}/{operator['mnc']})" if operator["name"] else "unknown",
            ),
            *((f"part {one['part']}", f"{one['carrier_id']}, receipt: {one['receipt'] or 'none'}") for one in parts),
        ]
    )


@commands.command("list")
def list_(
    account: Annotated[
        str | None, typer.Option("--account", metavar="ID", help="Only this account's, by id or name.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many.")] = 20,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """List messages, newest first.

    \b
    heliograph message list
    heliograph message list --account demo --limit 100 --json
    """

    def query(reads: Reads) -> tuple[list[StoredMessage], dict[int, str]]:
        owner = find_account(reads, account).id if account else None
        return reads.messages(owner, limit), {one.id: one.ref for one in reads.accounts()}

    messages, accounts = read(data, query)
    ids = public_ids(data)
    shown = [
        {"id": _public(ids, one.id), "account_id": accounts.get(one.account_id, ""), **_view(one)} for one in messages
    ]
    if json:
        print_json(shown)
    else:
        keys = ("id", "account_id", "status", "recipient", "sender", "cost", "registered")
        print_table([key.upper().replace("_", " ") for key in keys], [[one[key] for key in keys] for one in shown])


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
    well_formed = message.isascii() and message.isdigit() and not message.startswith("0") and len(message) <= 16
    internal = ids.resolve(int(message)) if well_formed and not int(message) >> BITS else 0

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
        "sent": show_time(message.sent_utc_ms),
        "done": show_time(message.done_utc_ms),
        "expires": show_time(message.expires_utc_ms),
        "carrier_id": message.ref,
        "detail": message.detail,
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
    yield from story.events
    if message.sent_utc_ms:
        refs = [f"part {part} as {ref}" for part, ref, _ in story.parts] or [f"as {message.ref}"]
        yield Event(message.sent_utc_ms, "sent", f"{story.carrier} took it {', '.join(refs)}")
    if message.done_utc_ms:
        yield Event(message.done_utc_ms, message.status.name.lower(), message.detail)
        if message.refunded:
            yield Event(message.done_utc_ms, "refunded", exact(message.price_micros))
    failed = {event.detail.partition(" of ")[0] for event in story.events if event.event == CALLED_BACK}
    for callback in story.callbacks:
        yield from _tell_callback(callback, failed)


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
