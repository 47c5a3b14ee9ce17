"""What a command_status in a submit_sm_resp means here (SMPP 3.4 §5.1.3). `CLASSES` is the default policy; what it does
not list is ambiguous. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from heliograph.carriers.smpp.pdu import Status
from heliograph.messaging.retry import SubmitClass


def _all(statuses: Iterable[int], meaning: SubmitClass) -> dict[int, SubmitClass]:
    return dict.fromkeys(statuses, meaning)


CLASSES: dict[int, SubmitClass] = {
    **_all((0x58, 0x14), SubmitClass.THROTTLED),
    **_all((0x08, 0x64), SubmitClass.TEMPORARY),
    **_all((0x45, 0xFE, 0xFF, *range(0x400, 0x500)), SubmitClass.AMBIGUOUS),
    **_all((0x0A, 0x15, *range(0x48, 0x52), 0x65, 0x66), SubmitClass.OTHER_ROUTE),
    **_all(
        (0x01, 0x06, 0x07, 0x0B, 0x33, 0x34, 0x40, *range(0x42, 0x45), 0x54, 0x55, *range(0x61, 0x64)),
        SubmitClass.PERMANENT,
    ),
    **_all(range(0xC0, 0xC5), SubmitClass.PERMANENT),
    **_all((*range(0x02, 0x06), *range(0x0D, 0x10), 0x53), SubmitClass.LINK_FAULT),
}
_NOT_A_STATUS = frozenset({SubmitClass.TAKEN, SubmitClass.NOT_SENT, SubmitClass.UNKNOWN})


class Outcomes:
    """The meaning of statuses for one carrier; `overrides` is `SmppSettings.statuses`.

    Raises `ValueError` when an override is none.
    """

    def __init__(self, overrides: Mapping[str, SubmitClass]) -> None:
        self._classes = {**CLASSES, **dict(_override(status, meaning) for status, meaning in overrides.items())}

    def of(self, status: int) -> SubmitClass:
        """What an answer that is not ESME_ROK means."""
        return self._classes.get(status, SubmitClass.AMBIGUOUS)


def described(status: int) -> str:
    """A status for people: `ESME_RTHROTTLED (0x00000058)`."""
    try:
        return f"{Status(status).name} (0x{status:08X})"
    except ValueError:
        return f"command_status 0x{status:08X}"


def _override(status: str, meaning: SubmitClass) -> tuple[int, SubmitClass]:
    try:
        number = int(status, 16 if status[:2].lower() == "0x" else 10)
    except ValueError:
        number = 0
    if not 0 < number <= 0xFFFF_FFFF:
        raise ValueError(f"{status!r} is no command_status of an error; write it like 0x45")
    if meaning in _NOT_A_STATUS:
        raise ValueError(f"a command_status cannot mean {str(meaning)!r}; it is about submits that were refused")
    return number, meaning
