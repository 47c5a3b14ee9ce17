"""What an API is to the application: the part of the URL space that it answers for, errors included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from starlette.routing import Route

from heliograph.api.replies import Headers, Reply
from heliograph.dialects.example import Example
from heliograph.messaging.errors import Kind

Answer = Callable[[Reply], None]


class HotSend(Protocol):
    """A hot send, without ASGI: called with the values of its headers (None for one that is absent), it calls `answer`
    once, now or when the messages are on disk. Nothing is raised.
    """

    def __call__(
        self,
        authorization: bytes | None,
        key: bytes | None,
        body: bytes | bytearray,
        client: str,
        request_id: str,
        answer: Answer,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Telling:
    """How an API tells of errors: an example for each code that it has, and the answer to one under a request id.

    `dialect` is how a stored message names the API, and `owns` tells which paths are its. `codes` are its own
    names of errors, if it has names; `told` is how an error looks, as text with `marks`.
    """

    name: str
    dialect: int
    owns: Callable[[str], bool]
    examples: Mapping[str, Example]
    answer_to: Callable[[Example, str], Reply]
    told: Callable[[Kind], str]
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Face:
    """An API. `owns` tells which paths are its; `refusal` renders any error for them.

    `hot` are the exact targets of its hot send, which the lean door answers; `send_route` is the template of that, for
    logs and figures. `contract` is its OpenAPI file below `api/openapi`.
    """

    key: str
    name: str
    owns: Callable[[str], bool]
    routes: list[Route]
    refusal: Callable[[Exception, str, str, Headers], Reply]
    send_route: str
    contract: str
    telling: Telling
    hot: Mapping[bytes, HotSend] = field(default_factory=dict)
