"""Ids shown outside: a keyed permutation of the internal sequence.

Message ids are consecutive inside, which would tell every customer how much the others send. Outside they are put
through a Feistel network over [0, 2^53): a bijection, so unique wherever the sequence is, and at most 16 digits, exact
in a JSON number. The round function is AES under a key of the installation (four rounds of a pseudo-random function
make a pseudo-random permutation: Luby and Rackoff, 1988). An id is not a capability: whoever looks one up is checked
for owning it.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BITS = 53
_LOW, _HIGH = 26, 27  # bits of the right and the left half at first
_ORDER = sys.byteorder  # of the 64-bit numbers in an array
_WIDTHS = (27, 26, 27, 26)  # bits of the left half, round by round: the halves change places


class PublicIds:
    """The permutation under one 32-byte key."""

    def __init__(self, key: bytes) -> None:
        self._aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 (single blocks as a round function)

    def publish(self, first: int, count: int) -> list[int]:
        """The public ids of the internal ids `first … first + count - 1`."""
        return self.publish_each(range(first, first + count))

    def publish_each(self, inside: Sequence[int]) -> list[int]:
        """The public ids of internal ids.

        All go through the rounds at once, side by side as 64-bit lanes of one large integer: 0.4 µs an id in bulk.
        """
        count = len(inside)
        ids = int.from_bytes(array("Q", inside).tobytes(), _ORDER)
        left, right = ids >> _LOW & _lanes((1 << _HIGH) - 1, count), ids & _lanes((1 << _LOW) - 1, count)
        for number, width in enumerate(_WIDTHS):
            left, right = right, left ^ self._round(number, right, width, count)
        return array("Q", (left << _LOW | right).to_bytes(8 * count, _ORDER)).tolist()

    def resolve(self, public: int) -> int:
        """The internal id of a public one, for any number in [0, 2^53)."""
        left, right = public >> _LOW, public & ((1 << _LOW) - 1)
        for number, width in reversed(list(enumerate(_WIDTHS))):
            left, right = right ^ self._round(number, left, width, 1), left
        return left << _LOW | right

    def _round(self, number: int, halves: int, width: int, count: int) -> int:
        """`width` pseudo-random bits for each of `count` lanes."""
        blocks = array("Q", bytes(16 * count))
        blocks[::2] = array("Q", halves.to_bytes(8 * count, _ORDER))
        blocks[1::2] = array("Q", number.to_bytes(8, _ORDER) * count)
        mixed = array("Q")
        mixed.frombytes(self._aes.update(blocks.tobytes()))
        return int.from_bytes(mixed[::2].tobytes(), _ORDER) >> 64 - width & _lanes((1 << width) - 1, count)


@lru_cache(256)
def _lanes(value: int, count: int) -> int:
    """`value` in each of `count` lanes."""
    return int.from_bytes(value.to_bytes(8, _ORDER) * count, _ORDER)
