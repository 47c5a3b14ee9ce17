"""What a refusal means."""

from __future__ import annotations

import pytest

from heliograph.carriers.smpp.outcomes import Outcomes, described
from heliograph.messaging.retry import SubmitClass

# TELECOM's table, status by status.
TABLE = {
    SubmitClass.THROTTLED: [0x14, 0x58],
    SubmitClass.TEMPORARY: [0x08, 0x64],
    SubmitClass.AMBIGUOUS: [0x45, 0xFE, 0xFF, 0x400, 0x47F, 0x4FF, 0x09, 0x67, 0x100, 0x500, 0x7FFF_FFFF],
    SubmitClass.OTHER_ROUTE: [0x0A, 0x15, 0x48, 0x49, 0x4A, 0x4F, 0x50, 0x51, 0x65, 0x66],
    SubmitClass.PERMANENT: [
        *(0x01, 0x06, 0x07, 0x0B, 0x33, 0x34, 0x40, 0x42, 0x43, 0x44, 0x54, 0x55, 0x61, 0x62, 0x63),
        *(0xC0, 0xC1, 0xC2, 0xC3, 0xC4),
    ],
    SubmitClass.LINK_FAULT: [0x02, 0x03, 0x04, 0x05, 0x0D, 0x0E, 0x0F, 0x53],
}


@pytest.mark.parametrize(
    ("status", "meaning"), [(status, meaning) for meaning, statuses in TABLE.items() for status in statuses], ids=str
)
def test_each_status_is_sorted_as_the_table_says(status: int, meaning: SubmitClass) -> None:
    assert Outcomes({}).of(status) is meaning


def test_every_status_not_in_the_table_is_ambiguous() -> None:
    listed = {status for statuses in TABLE.values() for status in statuses}
    between = {*range(0x48, 0x52), *range(0x400, 0x500)}
    outcomes = Outcomes({})
    assert {outcomes.of(status) for status in range(1, 0x2000) if status not in listed | between} == {
        SubmitClass.AMBIGUOUS
    }


def test_a_carrier_may_mean_something_else() -> None:
    outcomes = Outcomes({"0x45": SubmitClass.PERMANENT, "88": SubmitClass.TEMPORARY, "0x500": SubmitClass.THROTTLED})
    assert outcomes.of(0x45) is SubmitClass.PERMANENT
    assert outcomes.of(0x58) is SubmitClass.TEMPORARY
    assert outcomes.of(0x500) is SubmitClass.THROTTLED
    assert outcomes.of(0x14) is SubmitClass.THROTTLED
    assert Outcomes({}).of(0x45) is SubmitClass.AMBIGUOUS


@pytest.mark.parametrize("status", ["", "0", "0x0", "ESME_RTHROTTLED", "-1", "0x100000000", "0x"])
def test_an_override_of_what_is_no_status_is_named(status: str) -> None:
    with pytest.raises(ValueError, match="like 0x45") as raised:
        Outcomes({status: SubmitClass.PERMANENT})
    assert repr(status) in str(raised.value)


@pytest.mark.parametrize("meaning", [SubmitClass.TAKEN, SubmitClass.NOT_SENT, SubmitClass.UNKNOWN])
def test_an_answer_cannot_mean_that_there_was_none(meaning: SubmitClass) -> None:
    with pytest.raises(ValueError, match=str(meaning)):
        Outcomes({"0x45": meaning})


def test_statuses_are_described_for_people() -> None:
    assert described(0x58) == "ESME_RTHROTTLED (0x00000058)"
    assert described(0x412) == "command_status 0x00000412"
