"""What is taught of an error wherever it is read: a request that meets it as a command for the shell, and the answer as
it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from heliograph.api.face import Telling
from heliograph.api.replies import Reply
from heliograph.dialects.example import Example
from heliograph.messaging.errors import REGISTRY, Fault, Kind

FAULTS: Final = {
    Fault.CALLER: "On the caller's side",
    Fault.CARRIER: "At a carrier",
    Fault.OURS: "On the server",
}
"""Whose fault an error is, in the order in which they are read."""

RETRY: Final = {
    True: "Yes. The same request can succeed later.",
    False: "No. The same request fails again until its cause is mended.",
}
"""Whether trying again helps."""

_BASE_URL: Final = "https://sms.example.com"
_REQUEST_ID: Final = "req_19bb0c1a6f3d81c4e07a"
_NARROW: Final = 100


def request_of(example: Example) -> str:
    """The request of an example, as one types it."""
    method = "" if example.method == ("POST" if example.body else "GET") else f" -X {example.method}"
    parts = [f"curl -i{method} {_quoted_url(example.path)}"]
    parts += [f"-H {_quoted(f'{name}: {value}')}" for name, value in example.headers]
    if example.body:
        parts.append(f"-d {_quoted(example.body)}")
    return " \\\n  ".join(parts)


def filling_of(example: Example) -> str:
    """What the ellipsis of a request stands for, with `marks`; "" when there is none."""
    return f"`…` is `{example.filling.strip()}` {example.times:,} times over." if example.times else ""


def _quoted_url(path: str) -> str:
    url = f"{_BASE_URL}{path}"
    return f'"{url}"' if "$" in path or "?" in path else url


def _quoted(text: str) -> str:
    """A word for the shell, in which `$NAME` is still a variable."""
    if "$" in text or "'" in text:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"'{text}'"


def answer_to(example: Example, telling: Telling) -> Reply:
    """The answer of an API to an example."""
    return telling.answer_to(example, _REQUEST_ID)


def answer_of(example: Example, telling: Telling) -> str:
    """The same as it comes, but for the line breaks of a body that is long."""
    reply = answer_to(example, telling)
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [
        f"{name.decode()}: {value.decode()}"
        for name, value in (*reply.headers, (b"x-request-id", _REQUEST_ID.encode()))
    ]
    body = reply.body.decode()
    if len(body) > _NARROW:
        body = msgspec.json.format(body, indent=2)
    return "\n".join([*lines, "", body]).rstrip()


def neighbours(kind: Kind, telling: Telling) -> list[Kind]:
    """The other errors that an API tells with the same status."""
    statuses = statuses_of(telling)
    return [REGISTRY[code] for code, status in statuses.items() if status == statuses[kind.code] and code != kind.code]


def statuses_of(telling: Telling) -> dict[str, int]:
    """The status of every error that an API has."""
    return {code: answer_to(example, telling).status for code, example in telling.examples.items()}


def found(name: str, tellings: Sequence[Telling]) -> list[Kind]:
    """The errors that a name stands for: a code of the registry, an API's own name of some, an HTTP status."""
    if name in REGISTRY:
        return [REGISTRY[name]]
    own = {code for telling in tellings for code, its in telling.codes.items() if its == name}
    if name.isdigit():
        own |= {code for telling in tellings for code, status in statuses_of(telling).items() if str(status) == name}
    return [kind for code, kind in REGISTRY.items() if code in own]


def names(tellings: Sequence[Telling]) -> set[str]:
    """The names that `found` knows besides the codes of the registry."""
    own = {code for telling in tellings for code in telling.codes.values()}
    statuses = {str(status) for telling in tellings for status in statuses_of(telling).values()}
    return (own | statuses) - REGISTRY.keys()


def entry_of(kind: Kind, tellings: Sequence[Telling]) -> dict[str, Any]:
    """All of it, for programs."""
    entry = {
        "code": kind.code,
        "url": f"/errors/{kind.code}",
        "fault": kind.fault,
        "title": kind.title,
        "cause": kind.cause,
        "remedy": kind.remedy,
        "causes": kind.causes,
        "charged": kind.charged,
        "retry": kind.retry,
    }
    entry["apis"] = {
        telling.name: {
            "status": answer_to(example, telling).status,
            "code": telling.codes.get(kind.code),
            "setup": example.setup.words,
            "request": request_of(example),
            "answer": answer_of(example, telling),
        }
        for telling in tellings
        if (example := telling.examples.get(kind.code)) is not None
    }
    return entry
