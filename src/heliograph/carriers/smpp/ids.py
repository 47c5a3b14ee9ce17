"""A carrier's message ids, in one form: what is compared are these strings. No I/O and no clock."""

from __future__ import annotations

import re
from typing import Literal

Form = Literal["as-is", "resp-hex-dlr-dec", "resp-dec-dlr-hex"]

_HEX = re.compile(r"[0-9A-Fa-f]{1,64}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,64}", re.ASCII)


class Ids:
    """The ids of one carrier. As they are, they are opaque, but for leading zeros; where the answer and the receipt
    write the same number differently, decimal is the form kept.
    """

    def __init__(self, form: Form) -> None:
        self._hex_answers = form == "resp-hex-dlr-dec"
        self._hex_receipts = form == "resp-dec-dlr-hex"
        self._width = 0  # of ids with leading zeros; 0 where there are none
        self._upper = False

    def of_answer(self, id_: str) -> str:
        """The id in a submit_sm_resp. Its look is remembered, for `asked`."""
        if id_[:1] == "0":
            self._width = len(id_)
        if not self._hex_answers:
            return id_.lstrip("0") or id_[:1]
        if id_ != id_.lower():
            self._upper = True
        return _decimal(id_)

    def of_receipt(self, id_: str) -> str:
        """The id in a delivery receipt."""
        if self._hex_receipts:
            return _decimal(id_)
        return id_.lstrip("0") or id_[:1]

    def asked(self, ref: str) -> str:
        """The id for a query_sm (SMPP 3.4 §4.8.1), as a submit_sm_resp would write it."""
        if self._hex_answers and _DECIMAL.fullmatch(ref):
            ref = format(int(ref), "X" if self._upper else "x")
        return ref.zfill(self._width) if _HEX.fullmatch(ref) else ref


def _decimal(id_: str) -> str:
    """A hexadecimal number in decimal; what is none stays as it is, without leading zeros."""
    return str(int(id_, 16)) if _HEX.fullmatch(id_) else id_.lstrip("0") or id_[:1]
