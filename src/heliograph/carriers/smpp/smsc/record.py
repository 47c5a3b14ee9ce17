"""The file that tells what was taken: a line each, written before the answer."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from heliograph.carriers.smpp.smsc import parts
from heliograph.carriers.smpp.smsc.account import Message


class Record:
    """Appends to `path`; `form` is the format of an id.

    A line is `source destination id part/parts hash`, the hash being the first 16 hexadecimal digits of the SHA-256 of
    the part's text in UTF-8; as JSON, an object with the text itself.
    """

    def __init__(self, path: Path, form: str, *, as_json: bool) -> None:
        self._form = form
        self._as_json = as_json
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        """Write nothing more."""
        os.close(self._file)

    def append(self, messages: Sequence[Message]) -> None:
        """Write them all or none of them. Raises `OSError`."""
        line = self._json if self._as_json else self._words
        lines = "".join([line(message, parts.read(message.submit)) for message in messages]).encode(errors="replace")
        if (written := os.write(self._file, lines)) < len(lines):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _words(self, message: Message, read: parts.Part) -> str:
        submit = message.submit
        addresses = f"{_word(submit.source)} {_word(submit.destination)}"
        return f"{addresses} {format(message.number, self._form)} {read.part}/{read.parts} {read.hash}\n"

    def _json(self, message: Message, read: parts.Part) -> str:
        submit = message.submit
        told = {
            "id": format(message.number, self._form),
            "source": submit.source,
            "destination": submit.destination,
            "esm_class": submit.esm_class,
            "data_coding": submit.data_coding,
            "registered_delivery": submit.registered_delivery,
            "reference": read.reference,
            "part": read.part,
            "parts": read.parts,
            "text": read.text.encode(errors="replace").decode(),
        }
        return msgspec.json.encode(told).decode() + "\n"


def _word(text: str) -> str:
    """A sender may have spaces: they would be more words."""
    return "".join(text.split()) or "-"
