"""Ids shown outside."""

from __future__ import annotations

import itertools

from heliograph.kit.ids import BITS, PublicIds

KEY = bytes(range(32))
FIRST, SECOND, THIRD = 1340985025290115, 3033933552564382, 1543555343247007


def test_ids_under_a_key_never_change() -> None:
    """Customers keep them: another algorithm under the same key would lose every message that was ever shown."""
    assert PublicIds(KEY).publish(1, 3) == [FIRST, SECOND, THIRD]
    assert PublicIds(bytes(32)).publish(1, 1) != [FIRST]


def test_ids_fit_a_json_number_and_sixteen_digits() -> None:
    assert BITS == 53
    assert len(str((1 << BITS) - 1)) == 16
    shown = PublicIds(KEY).publish(1, 5000) + PublicIds(KEY).publish((1 << BITS) - 5000, 5000)
    assert all(0 <= one < 1 << BITS for one in shown)


def test_consecutive_messages_have_ids_that_tell_nothing_of_their_order() -> None:
    shown = PublicIds(KEY).publish(1, 2000)
    rising = sum(a < b for a, b in itertools.pairwise(shown))
    assert 900 < rising < 1100
    ones = [sum(one >> bit & 1 for one in shown) for bit in range(BITS)]
    assert all(850 < count < 1150 for count in ones), "a bit of the id is predictable"


def test_every_way_to_publish_agrees_and_leads_back() -> None:
    ids = PublicIds(KEY)
    inside = [1, 2, 3, (1 << 26) - 1, 1 << 26, (1 << 52) + 7, (1 << BITS) - 1]
    assert [ids.publish(one, 1)[0] for one in inside] == list(ids.publish_each(inside))
    assert [ids.resolve(one) for one in ids.publish_each(inside)] == inside
    assert list(ids.publish(5, 0)) == []
