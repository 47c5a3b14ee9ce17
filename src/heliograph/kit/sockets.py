"""Unix sockets in folders of any depth."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_ROOM = 103  # bytes of a path in a socket's address: 107 on Linux (unix(7)), 103 elsewhere


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """The address by which to bind or reach the socket at `path`, as long as the context lasts.

    On Linux a path that is too long for an address is named through its folder's descriptor. Raises `OSError` when the
    folder cannot be opened.
    """
    if len(os.fsencode(path)) <= _ROOM:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
