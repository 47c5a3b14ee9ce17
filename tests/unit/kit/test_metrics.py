"""Counting: every value falls into exactly one bucket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heliograph.kit.metrics import Histogram


def test_a_value_at_the_end_of_a_bucket_belongs_to_it_and_one_above_the_last_is_not_lost() -> None:
    histogram = Histogram([0.1, 1.0])
    for value in (0.0, 0.1, 0.100001, 1.0, 1.1, 99.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert histogram.sum == 0.0 + 0.1 + 0.100001 + 1.0 + 1.1 + 99.0


@given(st.lists(st.floats(0, 100)))
def test_the_buckets_up_to_a_bound_hold_what_is_not_above_it(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    for index, bound in enumerate(histogram.bounds, start=1):
        assert sum(histogram.counts[:index]) == sum(value <= bound for value in values)
    assert sum(histogram.counts) == len(values)
