"""Where one frame ends and the next begins (SMPP 3.4 §3.2: command_length counts the whole frame, itself included)."""

from __future__ import annotations

import struct

HEADER_LENGTH = 16
MAX_LENGTH = 70_000
"""Octets of the longest frame: a message_payload may take 65,535, the rest of a PDU never the difference."""

_LENGTH = struct.Struct(">I")


class FramingError(ValueError):
    """A length that no frame has: what follows cannot be told apart. `frames` are the whole ones before it."""

    def __init__(self, detail: str, frames: list[bytes]) -> None:
        super().__init__(detail)
        self.frames = frames


class Framer:
    """Cuts what arrives into frames. It holds less than one frame between calls, so never more than `MAX_LENGTH`."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole with `data`, in order. Raises `FramingError`, and again ever after."""
        if self._held:
            data = self._held + data
        frames: list[bytes] = []
        start, end = 0, len(data)
        while end - start >= 4:
            (length,) = _LENGTH.unpack_from(data, start)
            if not HEADER_LENGTH <= length <= MAX_LENGTH:
                self._held = data[start : start + 4]
                raise FramingError(f"command_length {length} is not from {HEADER_LENGTH} to {MAX_LENGTH}", frames)
            if start + length > end:
                break
            frames.append(data[start : start + length])
            start += length
        self._held = data[start:]
        return frames
