"""Mobile operators: who holds the range that a number lies in.

Numbers are portable in many countries, so a prefix tells the holder of the range and no more; a receipt or a lookup may
know the operator better. `OperatorSource` says who told.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import msgspec

from heliograph.messaging.numbers import PrefixMap


class OperatorSource(IntEnum):
    """How a message's operator is known. The numbers are stored; a higher one may replace a lower one."""

    NONE = 0
    PREFIX = 1
    RECEIPT = 2
    LOOKUP = 3


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator. `mcc` and `mnc` (ITU-T E.212) are digits, or "" where they are not known for certain."""

    id: int
    name: str
    mcc: str
    mnc: str


UNKNOWN_OPERATOR = Operator(id=0, name="", mcc="", mnc="")


class _Row(msgspec.Struct):
    """An operator in `data/operators.json`; `prefixes` are separated by spaces."""

    id: int
    name: str
    mcc: str
    mnc: str
    prefixes: str


class OperatorTable:
    """All operators, by id and by prefix of the number."""

    def __init__(self, operators: dict[int, Operator], prefixes: dict[str, Operator]) -> None:
        self._operators = operators
        self._prefixes = PrefixMap(prefixes)
        self._networks = {one.mcc + one.mnc: one for one in operators.values() if one.mcc and one.mnc}

    @classmethod
    def from_json(cls, data: bytes) -> OperatorTable:
        """The table from the bytes of `data/operators.json`. Raises `ValueError` when they are not of that format."""
        operators: dict[int, Operator] = {}
        prefixes: dict[str, Operator] = {}
        for row in msgspec.json.decode(data, type=list[_Row]):
            operator = Operator(row.id, row.name, row.mcc, row.mnc)
            if row.id < 1 or operators.setdefault(row.id, operator) is not operator:
                raise ValueError(f"operator id {row.id} is taken; give {row.name!r} another one")
            prefixes.update(dict.fromkeys(row.prefixes.split(), operator))
        return cls(operators, prefixes)

    def by_number(self, digits: str) -> Operator:
        """The holder of the range that a number in E.164 digits lies in, or `UNKNOWN_OPERATOR`."""
        return self._prefixes.get(digits) or UNKNOWN_OPERATOR

    def by_id(self, id: int) -> Operator:
        """The operator with this id, or `UNKNOWN_OPERATOR`."""
        return self._operators.get(id, UNKNOWN_OPERATOR)

    def by_network(self, network: str) -> Operator:
        """The operator with this MCC and MNC, in one (ITU-T E.212), or `UNKNOWN_OPERATOR`."""
        return self._networks.get(network, UNKNOWN_OPERATOR)
