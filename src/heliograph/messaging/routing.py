"""Which carrier takes a message: the account's own first, else the installation's default, which is also the next one
when the account's own cannot take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heliograph.messaging import errors


@dataclass(slots=True)
class Routes:
    """The carriers that there are, by name and internal id, and the default one's name ("" for none). Both may change
    while messages are routed.
    """

    carriers: Mapping[str, int]
    default: str

    def choose(self, preferred: str, digits: str) -> int:
        """The id of the carrier for a number (E.164 digits); raises `CallerError(NO_ROUTE)` when there is none."""
        carrier_id = self.carriers.get(preferred or self.default)
        if carrier_id is None:
            raise errors.CallerError(
                errors.NO_ROUTE, f"No carrier takes messages for {digits}; ask the operator to add a route."
            )
        return carrier_id

    def after(self, carrier_id: int) -> int:
        """The id of the carrier to try when this one cannot take a message; 0 when there is none."""
        default = self.carriers.get(self.default, 0)
        return 0 if default == carrier_id else default
