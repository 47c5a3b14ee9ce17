"""`heliograph explain`: what an error means, and what happened to one request."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from heliograph.cli.common import (
    DATA_FOLDER,
    WRONG,
    Data,
    Json,
    print_json,
    print_pairs,
    public_ids,
    read,
    refuse,
    require_data,
    say,
    show_time,
)
from heliograph.kit.log import time_of_request
from heliograph.messaging.errors import REGISTRY, Kind
from heliograph.messaging.operators import OperatorSource
from heliograph.messaging.pricing import exact
from heliograph.messaging.text import ALPHABET, Encoding
from heliograph.store.interface import FAILURES_MS, Failure, Reads, StoredMessage

# A request is accepted a little after it was received, when those before it on its connection are answered.
_EARLY_MS: Final = 2_000
_LATE_MS: Final = 30_000
_WIDTH: Final = 96
_LINK: Final = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


class Told(msgspec.Struct, frozen=True):
    """What the store knows of a request."""

    messages: list[StoredMessage]
    failure: Failure | None
    accounts: dict[int, str]
    carriers: dict[int, str]


def explain(
    what: Annotated[
        str, typer.Argument(metavar="CODE|REQUEST_ID", help="An error's code, an HTTP status, or an X-Request-Id.")
    ],
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Tell what an error means, or what happened to one request.

    An error by its code here or in an API, or all with an HTTP status. A request by the X-Request-Id of its answer: its
    account, what was decided and why, the error and the remedy. Refused requests are kept for seven days.

    \b
    heliograph explain recipient_invalid
    heliograph explain invalid_phone_number
    heliograph explain 406
    heliograph explain req_19bb0c1a6f3d81c4e07a
    """
    what = what.strip()
    received = time_of_request(what.lower())
    if received is not None:
        _explain_request(what.lower(), received, data, json=json)
    elif what.startswith("req_"):
        refuse(f"{what!r} is no request id: it is `req_` and 20 hexadecimal digits, as in the X-Request-Id", WRONG)
    else:
        _explain_error(what, json=json)


# -- an error


def _explain_error(name: str, *, json: bool) -> None:
    from heliograph.api import lessons  # these take half a second, which `--help` need not
    from heliograph.api.asgi import APIS

    tellings = [api.TELLING for api in APIS]
    kinds = lessons.found(name.lower(), tellings)
    if not kinds:
        names = {*REGISTRY, *(code for telling in tellings for code in telling.codes.values())}
        close = difflib.get_close_matches(name.lower(), sorted(names), 3)
        remedy = f"did you mean {' or '.join(close)}?" if close else "the page /errors of the server lists all"
        refuse(f"there is no error {name!r}; {remedy}")
    if json:
        entries = [lessons.entry_of(kind, tellings) for kind in kinds]
        print_json(entries[0] if len(kinds) == 1 else entries)
    elif len(kinds) == 1:
        for line in lessons_of(kinds[0], tellings):
            say(line)
    else:
        say(f"{name}: {len(kinds)} errors")
        width = max(len(kind.code) for kind in kinds)
        for kind in kinds:
            say(f"  {kind.code:<{width}}  {kind.title}")
        say(f"heliograph explain {kinds[0].code} tells more of the first.")


def lessons_of(kind: Kind, tellings: Sequence[Any]) -> Iterator[str]:
    """The page of an error, as lines of text."""
    from heliograph.api import lessons

    yield f"{kind.code}: {kind.title}"
    yield from _part("What happened", _wrapped(kind.cause))
    yield from _part("What to do", _wrapped(kind.remedy))
    yield from _part("Usual causes", (line for cause in kind.causes for line in _wrapped(cause, "- ")))
    yield from _part("Does trying again help?", _wrapped(lessons.RETRY[kind.retry]))
    yield from _part("Is anything charged?", _wrapped(kind.charged))
    for telling in tellings:
        example = telling.examples.get(kind.code)
        if example is None:
            yield from _part(telling.name, ["  This API does not have this error."])
            continue
        notes = [note for note in (example.setup.words, lessons.filling_of(example)) if note]
        yield from _part(f"{telling.name}: {telling.told(kind)}", (line for note in notes for line in _wrapped(note)))
        yield ""
        yield from textwrap.indent(lessons.request_of(example), "  ").splitlines()
        yield ""
        yield from textwrap.indent(lessons.answer_of(example, telling), "  ").splitlines()


def _part(title: str, lines: Any) -> Iterator[str]:
    yield ""
    yield title
    yield from lines


def _wrapped(text: str, bullet: str = "") -> list[str]:
    plain = _LINK.sub(r"\1 (\2)", text)
    begins = f"  {bullet}"
    return textwrap.wrap(
        plain,
        _WIDTH,
        initial_indent=begins,
        subsequent_indent=" " * len(begins),
        break_long_words=False,
        break_on_hyphens=False,
    )


# -- a request


def _explain_request(request_id: str, received_utc_ms: int, data: Path, *, json: bool) -> None:
    require_data(data)

    def query(reads: Reads) -> Told:
        messages = reads.messages_traced(
            request_id.removeprefix("req_"), received_utc_ms - _EARLY_MS, received_utc_ms + _LATE_MS
        )
        accounts = {one.id: one.ref for one in reads.accounts()} if messages else {}
        return Told(messages, reads.failure(request_id), accounts, reads.carriers())

    told = read(data, query)
    if not told.messages and told.failure is None:
        refuse(_unknown(request_id, received_utc_ms))
    story = _story(request_id, received_utc_ms, told, data)
    if json:
        print_json(story)
    else:
        _print_story(story)


def _unknown(request_id: str, received_utc_ms: int) -> str:
    days = FAILURES_MS // 86_400_000
    return (
        f"nothing is kept of {request_id}, received at {show_time(received_utc_ms)}. Kept are requests that sent"
        f" something and, for {days} days, those that were refused; not those that read, token requests that succeeded,"
        " and repeats of an Idempotency-Key, whose first request is kept under its own id. If it was refused a moment"
        " ago, try again; else look whether --data names the server that answered it"
    )


def _story(request_id: str, received_utc_ms: int, told: Told, data: Path) -> dict[str, Any]:
    from heliograph.api.asgi import APIS

    failure, messages = told.failure, told.messages
    story: dict[str, Any] = {
        "request_id": request_id,
        "received": show_time(received_utc_ms),
        "outcome": "refused" if not messages else "accepted" if failure is None else "partly accepted",
    }
    if failure is not None:
        story |= {"account_id": failure.account, "call": f"{failure.method} {failure.route}", "status": failure.status}
        story["api"] = next((api.TELLING.name for api in APIS if api.TELLING.owns(failure.route)), "")
        story["error"] = _error(failure)
    if messages:
        apis = {api.TELLING.dialect: api.TELLING for api in APIS}
        story["account_id"] = told.accounts.get(messages[0].account_id, "-")
        telling = apis.get(messages[0].dialect)
        story["api"] = telling.name if telling is not None else ""
        if failure is not None:
            story["error"]["charged"] = _charged(messages)
        ids = public_ids(data)
        story["messages"] = [_message(one, str(ids.publish(one.id, 1)[0]), told.carriers) for one in messages]
    return story


def _error(failure: Failure) -> dict[str, Any]:
    code, *others = failure.code.split(",")
    detail, _, besides = failure.detail.partition("\n")
    error: dict[str, Any] = {"code": code, "detail": detail, "besides": besides, **_meaning(code)}
    if others:
        error["others"] = [{"code": other, **_meaning(other)} for other in others]
    return error


def _meaning(code: str) -> dict[str, Any]:
    kind = REGISTRY.get(code)
    if kind is None:
        return {}
    return {
        "title": kind.title,
        "remedy": kind.remedy,
        "causes": kind.causes,
        "charged": kind.charged,
        "retry": kind.retry,
    }


def _charged(messages: Sequence[StoredMessage]) -> str:
    """What a request cost of which some messages were refused."""
    count = len(messages)
    price = exact(sum(one.price_micros for one in messages))
    refunded = sum(one.price_micros for one in messages if one.refunded)
    accepted = "1 message was accepted" if count == 1 else f"{count} messages were accepted"
    since = f", of which {exact(refunded)} was refunded since" if refunded else ""
    return f"{accepted} and charged, {price} in all{since}; for what was refused nothing is charged."


def _message(message: StoredMessage, public_id: str, carriers: dict[int, str]) -> dict[str, Any]:
    from heliograph.app import load_operators

    operator = load_operators().by_id(message.operator_id)
    return {
        "id": public_id,
        "recipient": f"+{message.recipient}",
        "sender": message.sender,
        "status": message.status.name,
        "carrier": carriers.get(message.carrier_id, ""),
        "price": exact(message.price_micros),
        "refunded": message.refunded,
        "operator": {
            "name": operator.name,
            "mcc": operator.mcc,
            "mnc": operator.mnc,
            "source": OperatorSource(message.operator_source).name.lower(),
        },
        "encoding": Encoding(message.encoding).name,
        "segments": message.segments,
        "why": why_encoded(message.text, Encoding(message.encoding), message.segments),
        "send_at": show_time(message.send_at_utc_ms),
        "detail": message.detail,
    }


def why_encoded(text: str, encoding: Encoding, segments: int) -> str:
    """Why a text has its encoding and so many segments."""
    if encoding is Encoding.GSM7:
        why, alone, part = "every character is in the GSM 7-bit alphabet", 160, 153
    else:
        foreign = next((char for char in text if char not in ALPHABET), "")
        named = f"{foreign!r} (U+{ord(foreign):04X}) is not in the GSM 7-bit alphabet" if foreign else ""
        why, alone, part = named or "its caller asked for UCS-2", 70, 67
    room = f"which holds {alone} characters" if segments == 1 else f"of which each holds {part} characters"
    return f"{why}; {segments} segment{'s' * (segments != 1)}, {room}"


def _print_story(story: dict[str, Any]) -> None:
    say(f"{story['request_id']}: {story['outcome']}")
    error = story.get("error")
    pairs = [("received", story["received"]), ("account", story["account_id"])]
    pairs += [("api", story["api"])] if story.get("api") else []
    if error is not None:
        pairs += [("call", story["call"]), ("answer", f"{story['status']} {', '.join(_codes(error))}")]
    print_pairs(pairs)
    if error is not None:
        for line in _error_lines(error, in_part=story["status"] == 200):
            say(line)
    for message in story.get("messages", ()):
        _print_message(message)


def _codes(error: dict[str, Any]) -> list[str]:
    return [error["code"], *(other["code"] for other in error.get("others", ()))]


def _error_lines(error: dict[str, Any], *, in_part: bool) -> Iterator[str]:
    """What was refused and why; `in_part` for a request of which each message is answered for itself."""
    yield from _part("What was refused" if in_part else "What was answered", _wrapped(error["detail"]))
    if error["besides"]:
        yield from _part("What the server says besides", _wrapped(error["besides"]))
    if others := error.get("others"):
        yield from _remedies([error, *others])
    elif "remedy" in error:
        yield from _part("What to do", _wrapped(error["remedy"]))
        yield from _part("Usual causes", (line for cause in error["causes"] for line in _wrapped(cause, "- ")))
    if "charged" in error:
        yield from _part("Is anything charged?", _wrapped(error["charged"]))
    yield ""
    yield f"heliograph explain {error['code']} shows an example."


def _remedies(errors: Sequence[dict[str, Any]]) -> Iterator[str]:
    known = [f"{one['code']}: {one['remedy']}" for one in errors if "remedy" in one]
    yield from _part("What to do", (line for remedy in known for line in _wrapped(remedy, "- ")))


def _print_message(message: dict[str, Any]) -> None:
    operator = message["operator"]
    known = f"{operator['name']} ({operator['mcc']}/{operator['mnc']}), by {operator['source']}"
    price = f"{message['price']}, refunded" if message["refunded"] else message["price"]
    say("")
    say(f"message {message['id']} from {message['sender']} to {message['recipient']}")
    print_pairs(
        [
            ("status now", f"{message['status']}{': ' * bool(message['detail'])}{message['detail']}"),
            *([("sent at", message["send_at"])] if message["send_at"] else []),
            ("carrier", message["carrier"]),
            ("price", price),
            ("operator", known if operator["name"] else "unknown: no entry for this number's prefix"),
            ("encoding", f"{message['encoding']}: {message['why']}"),
            ("more", f"heliograph message timeline {message['id']}"),
        ]
    )
