"""What holds for every number, against libphonenumber's own reading."""

from __future__ import annotations

import phonenumbers
from hypothesis import assume, given
from hypothesis import strategies as st

from heliograph.messaging.errors import CallerError
from heliograph.messaging.numbers import NumberPolicy, PrefixMap, normalise

codes = st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
examples = [
    f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if (number := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
]
numbers = (
    st.from_regex(r"[1-9][0-9]{7,14}", fullmatch=True)
    | st.builds("{}{}".format, codes, st.from_regex(r"[0-9]{5,12}", fullmatch=True))
    | st.sampled_from(examples)
).filter(lambda digits: 8 <= len(digits) <= 15)


def accepted(digits: str, policy: NumberPolicy) -> bool:
    try:
        assert normalise(digits, policy, plus_required=False, pointer="") == digits
    except CallerError:
        return False
    return True


@given(numbers)
def test_possible_and_valid_are_what_libphonenumber_says(digits: str) -> None:
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        assert not accepted(digits, NumberPolicy.POSSIBLE)
        assert not accepted(digits, NumberPolicy.VALID)
        return
    # Where it took a national prefix out, it judged another number than the one that was sent.
    assume(f"{number.country_code}{phonenumbers.national_significant_number(number)}" == digits)
    reason = phonenumbers.is_possible_number_with_reason(number)
    assert accepted(digits, NumberPolicy.POSSIBLE) == (reason == phonenumbers.ValidationResult.IS_POSSIBLE)
    assert accepted(digits, NumberPolicy.VALID) == phonenumbers.is_valid_number(number)


@given(numbers)
def test_stricter_policy_never_accepts_what_a_laxer_one_refuses(digits: str) -> None:
    assert accepted(digits, NumberPolicy.SYNTAX)
    assert accepted(digits, NumberPolicy.VALID) <= accepted(digits, NumberPolicy.POSSIBLE)


def test_an_ordinary_mobile_of_every_country_is_accepted() -> None:
    assert len(examples) > 200
    assert [digits for digits in examples if len(digits) >= 8 and not accepted(digits, NumberPolicy.VALID)] == []


@given(st.text(st.sampled_from("0123456789+ -()٣５\n") | st.characters(), max_size=20), st.booleans())
def test_what_is_accepted_is_ascii_digits_of_the_right_length(value: str, plus_required: bool) -> None:
    try:
        digits = normalise(value, NumberPolicy.SYNTAX, plus_required=plus_required, pointer="")
    except CallerError as error:
        error.detail.encode()  # it goes into a JSON answer
    else:
        assert value in ({"+" + digits} if plus_required else {digits, "+" + digits})
        assert set(digits) <= set("0123456789")
        assert 8 <= len(digits) <= 15


@given(st.dictionaries(st.text("123", max_size=4), st.integers(0, 9)), st.lists(st.text("123", max_size=6), min_size=1))
def test_prefix_map_finds_the_longest_prefix(entries: dict[str, int], wanted: list[str]) -> None:
    table = PrefixMap(entries)
    for digits in wanted:
        fitting = [prefix for prefix in entries if digits.startswith(prefix)]
        assert table.get(digits) == (entries[max(fitting, key=len)] if fitting else None)
