"""Public ids are a bijection of [0, 2^53), under every key another."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.kit.ids import BITS, PublicIds

inside = st.integers(0, (1 << BITS) - 1)
keys = st.binary(min_size=32, max_size=32)


@given(keys, inside)
def test_every_id_leads_back_to_its_message(key: bytes, id_: int) -> None:
    ids = PublicIds(key)
    (public,) = ids.publish(id_, 1)
    assert 0 <= public < 1 << BITS
    assert ids.resolve(public) == id_


@given(keys, inside)
def test_every_number_is_the_id_of_exactly_one_message(key: bytes, public: int) -> None:
    ids = PublicIds(key)
    id_ = ids.resolve(public)
    assert 0 <= id_ < 1 << BITS
    assert list(ids.publish(id_, 1)) == [public]


@given(keys, st.integers(0, (1 << BITS) - 3000), st.integers(0, 3000))
@settings(max_examples=30)
def test_ids_made_in_bulk_are_distinct_and_those_made_one_by_one(key: bytes, first: int, count: int) -> None:
    ids = PublicIds(key)
    shown = list(ids.publish(first, count))
    assert len(set(shown)) == count
    assert shown[:5] == [ids.publish(one, 1)[0] for one in range(first, first + min(count, 5))]
    assert list(ids.publish_each(range(first, first + count))) == shown


@given(st.lists(keys, min_size=2, max_size=2, unique=True), st.integers(0, 1 << 40))
def test_installations_have_ids_of_their_own(pair: list[bytes], first: int) -> None:
    one, other = (PublicIds(key).publish(first, 20) for key in pair)
    assert list(one) != list(other)
