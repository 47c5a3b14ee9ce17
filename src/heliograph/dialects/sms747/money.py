"""Amounts as this API writes them: strings with four to six decimals."""

from __future__ import annotations

from functools import lru_cache

from heliograph.messaging.pricing import MICROS


@lru_cache(1024)
def show_exact(micros: int) -> str:
    """ "0.0100", "12.500001": exact, with four decimals at least."""
    whole, rest = divmod(abs(micros), MICROS)
    decimals = f"{rest:06}"
    return f"{'-' if micros < 0 else ''}{whole}.{decimals[:4]}{decimals[4:].rstrip('0')}"
