"""What is read from the head of a request."""

from __future__ import annotations

from starlette.requests import Request


def authorization(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """The value of the `Authorization` header; of several one that is no token."""
    return header(headers, b"authorization")


def header(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    """The value of a header; of several, all of them in one (RFC 9110 §5.3)."""
    values = [value for name, value in headers if name == wanted]
    return b", ".join(values) if values else None


def client_of(request: Request) -> str:
    """The address of who calls."""
    return request.client.host if request.client else "-"
