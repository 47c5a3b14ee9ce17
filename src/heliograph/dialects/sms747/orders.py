"""What is to be sent: one message, or a batch of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from heliograph.dialects.reading import found, named, read_json
from heliograph.dialects.sms747.times import parse_time
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError, Kind
from heliograph.messaging.submissions import Order

_decode = msgspec.json.decode

REFERENCE_CHARACTERS: Final = 64
AHEAD_MS: Final = 30 * 24 * 3_600_000
VALIDITY_SECONDS: Final = range(60, 604_801)
_PROBLEMS_TOLD: Final = 20
_FIELDS: Final = "recipient and message"
_SPELLINGS: Final = ("recipient", "to")

CheckUrl = Callable[[str], object]
"""Raises `ValueError` with a sentence for a URL that cannot be called back."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """An order, and how its caller spelled the recipient: `recipient` or `to`."""

    order: Order
    spelling: str


class _Plain(msgspec.Struct, gc=False):
    """What nearly every body is; the other fields are here to be seen."""

    recipient: str
    message: str
    sender: str | None = None
    reference: None = None
    to: None = None
    callback_url: None = None
    send_at: None = None
    validity_seconds: None = None


_read_plain = msgspec.json.Decoder(_Plain).decode


class _Problem(msgspec.Struct, frozen=True):
    pointer: str
    detail: str
    kind: Kind = errors.FIELD_INVALID


def parse_order(body: bytes | bytearray, now_utc_ms: int, check_url: CheckUrl) -> Asked:
    """What the body of `POST /api/v1/message/custom` asks for; the sender "" when it is left out.

    A `send_at` that is past means at once. Raises `CallerError` with every field at fault.
    """
    try:
        plain = _read_plain(body)
        if not body.isascii():
            body.decode()  # fields that are skipped are not looked at, but the whole is to be UTF-8
        if plain.sender != "":
            order = Order([plain.recipient], plain.sender or "", plain.message, 0, True, refuse_opted_out=True)
            return Asked(order, "recipient")
    except (ValueError, RecursionError):
        pass
    data = _read(body, _FIELDS)
    if type(data) is not dict:
        detail = f"The body is {named(data)}; send an object with {_FIELDS}."
        raise CallerError(errors.FIELD_INVALID, detail)
    return _order(data, now_utc_ms, check_url)


def parse_batch(body: bytes | bytearray, now_utc_ms: int, check_url: CheckUrl, most: int) -> list[Asked | CallerError]:
    """What each message of `POST /api/v1/message/batch` asks for, at most so many, or what is wrong with it.

    Raises `CallerError` for a body that is no batch.
    """
    data = _read(body, "messages")
    if type(data) is not dict:
        detail = f"The body is {named(data)}; send an object with messages."
        raise CallerError(errors.FIELD_INVALID, detail, pointer="/messages")
    items = data.get("messages")
    if type(items) is not list:
        detail = f"messages is {found(data, 'messages')}; send an array of objects with {_FIELDS}."
        raise CallerError(errors.FIELD_INVALID, detail, pointer="/messages")
    if not items:
        raise CallerError(
            errors.MESSAGES_EMPTY, "messages is empty; put at least one message into it.", pointer="/messages"
        )
    if len(items) > most:
        detail = f"messages has {len(items)} entries; at most {most} are allowed: split the batch."
        raise CallerError(errors.MESSAGES_TOO_MANY, detail, pointer="/messages")
    return [_item(item, index, now_utc_ms, check_url) for index, item in enumerate(items)]


def _item(item: Any, index: int, now_utc_ms: int, check_url: CheckUrl) -> Asked | CallerError:
    if type(item) is not dict:
        detail = f"messages[{index}] is {named(item)}; send an object with {_FIELDS}."
        return CallerError(errors.FIELD_INVALID, detail, pointer=f"/messages/{index}")
    try:
        return _order(item, now_utc_ms, check_url)
    except CallerError as error:
        return error


def _read(body: bytes | bytearray, fields: str) -> Any:
    try:
        return _decode(body)
    except (ValueError, RecursionError):
        return read_json(body, fields)  # it tells what is wrong, and knows half surrogates


def _order(data: dict[str, Any], now_utc_ms: int, check_url: CheckUrl) -> Asked:
    problems = list(islice(_problems(data, now_utc_ms, check_url), _PROBLEMS_TOLD))
    if problems:
        # What is malformed comes before what is impossible (the contract's table of errors).
        problems.sort(key=lambda problem: problem.kind is errors.SCHEDULE_IMPOSSIBLE)
        first = problems[0]
        told = tuple((problem.pointer, problem.detail) for problem in problems)
        raise CallerError(first.kind, first.detail, problems=told)
    spelling = "recipient" if data.get("recipient") is not None else "to"
    send_at = data.get("send_at")
    at_utc_ms = 0 if send_at is None else parse_time(send_at) or 0
    order = Order(
        recipients=[data[spelling]],
        sender=data.get("sender") or "",
        text=data["message"],
        charset=0,
        plus_required=True,
        reference=data.get("reference"),
        callback_url=data.get("callback_url") or "",
        send_at_utc_ms=at_utc_ms if at_utc_ms > now_utc_ms else 0,
        validity_seconds=int(data.get("validity_seconds") or 0),
        refuse_opted_out=True,
    )
    return Asked(order, spelling)


def _problems(data: dict[str, Any], now_utc_ms: int, check_url: CheckUrl) -> Iterator[_Problem]:
    """Every field at fault and what to send instead. What is null is as good as absent."""
    yield from _recipient_problems(data)
    if type(data.get("message")) is not str:
        yield _Problem("/message", f"message is {found(data, 'message')}; send a string.")
    for name in ("sender", "reference", "callback_url", "send_at"):
        value = data.get(name)
        if value is not None and type(value) is not str:
            yield _Problem(f"/{name}", f"{name} is {named(value)}; send a string, or leave it out.")
    if data.get("sender") == "":
        yield _Problem("/sender", "sender is empty; leave it out, and the account's own is used.")
    if type(reference := data.get("reference")) is str:
        yield from _reference_problems(reference)
    if type(url := data.get("callback_url")) is str:
        yield from _url_problems(url, check_url)
    if type(send_at := data.get("send_at")) is str:
        yield from _send_at_problems(send_at, now_utc_ms)
    if (validity := data.get("validity_seconds")) is not None:
        yield from _validity_problems(validity)


def _recipient_problems(data: dict[str, Any]) -> Iterator[_Problem]:
    given = [name for name in _SPELLINGS if data.get(name) is not None]
    if not given:
        name = "to" if "to" in data and "recipient" not in data else "recipient"
        yield _Problem(f"/{name}", f"{name} is {found(data, name)}; send a number like +15551234567.")
    for name in given:
        if type(data[name]) is not str:
            yield _Problem(f"/{name}", f"{name} is {named(data[name])}; send a string like +15551234567.")
    if len(given) == 2 and data["recipient"] != data["to"]:
        yield _Problem("/to", "recipient and to are two spellings of one parameter and differ; send one of them.")


def _reference_problems(reference: str) -> Iterator[_Problem]:
    if len(reference) > REFERENCE_CHARACTERS:
        detail = f"reference has {len(reference)} characters; shorten it to {REFERENCE_CHARACTERS}."
        yield _Problem("/reference", detail)
    if "\0" in reference or any("\ud800" <= char <= "\udfff" for char in reference):
        yield _Problem("/reference", "reference holds U+0000 or half a surrogate pair, which is no text; remove it.")


def _url_problems(url: str, check_url: CheckUrl) -> Iterator[_Problem]:
    try:
        check_url(url)
    except ValueError as error:
        yield _Problem("/callback_url", f"{error}.")


def _send_at_problems(send_at: str, now_utc_ms: int) -> Iterator[_Problem]:
    at_utc_ms = parse_time(send_at)
    if at_utc_ms is None:
        detail = f"send_at is {named(send_at)}, which is no RFC 3339 time; write it like 2026-01-02T03:04:05Z."
        yield _Problem("/send_at", detail)
    elif at_utc_ms > now_utc_ms + AHEAD_MS:
        detail = f"send_at {send_at} is more than 30 days ahead; choose an earlier time."
        yield _Problem("/send_at", detail, errors.SCHEDULE_IMPOSSIBLE)


def _validity_problems(validity: Any) -> Iterator[_Problem]:
    # Never `float` of an integer: JSON has some that are too large for it.
    if type(validity) is not int and not (type(validity) is float and validity.is_integer()):
        yield _Problem("/validity_seconds", f"validity_seconds is {named(validity)}; send a whole number of seconds.")
    elif int(validity) not in VALIDITY_SECONDS:
        first, last = VALIDITY_SECONDS[0], VALIDITY_SECONDS[-1]
        detail = f"validity_seconds is {named(validity)}; send one from {first} to {last} (7 days)."
        yield _Problem("/validity_seconds", detail, errors.SCHEDULE_IMPOSSIBLE)
