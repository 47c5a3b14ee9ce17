"""What follows when a carrier did not simply take a message."""

from __future__ import annotations

import itertools

import pytest

from heliograph.messaging.retry import MAX_TRIES, Decision, DoubtPolicy, Next, SubmitClass, decide
from heliograph.messaging.submissions import Happening

RESEND, HOLD = DoubtPolicy.RESEND, DoubtPolicy.HOLD
AGAIN_LATER = {
    SubmitClass.TEMPORARY: [30, 120],
    SubmitClass.AMBIGUOUS: [30],
    SubmitClass.OTHER_ROUTE: [],
}  # after how many seconds
NO_TRY = (SubmitClass.THROTTLED, SubmitClass.NOT_SENT, SubmitClass.LINK_FAULT)


def test_taken_is_done() -> None:
    assert decide(SubmitClass.TAKEN, 0, RESEND) == Decision(Next.DONE, Happening.TAKEN)


def test_permanent_refusal_ends_the_message_at_the_first_try() -> None:
    decision = decide(SubmitClass.PERMANENT, 0, RESEND)
    assert (decision.next, decision.happening) == (Next.END, Happening.REFUSED)


@pytest.mark.parametrize(("outcome", "expected"), AGAIN_LATER.items())
def test_a_failure_that_may_pass_is_tried_again_ever_later_then_given_up(
    outcome: SubmitClass, expected: list[int]
) -> None:
    for others in (True, False):
        delays = []
        for tries in range(len(expected)):
            decision = decide(outcome, tries, HOLD, others=others)
            assert (decision.next, decision.spends_try, decision.reroute) == (Next.AGAIN, True, False)
            delays.append(decision.delay_seconds)
        assert delays == expected
    last = decide(outcome, len(expected), HOLD)
    assert (last.next, last.happening) == (Next.END, Happening.TRIES_USED_UP)


@pytest.mark.parametrize("outcome", SubmitClass)
def test_another_carrier_gets_at_once_what_one_gives_up_and_nothing_else(outcome: SubmitClass) -> None:
    for tries, policy in itertools.product(range(6), DoubtPolicy):
        alone = decide(outcome, tries, policy)
        decision = decide(outcome, tries, policy, others=True)
        if alone.happening is Happening.TRIES_USED_UP:
            assert (decision.next, decision.reroute, decision.delay_seconds) == (Next.AGAIN, True, 0)
        else:
            assert decision == alone
            assert not decision.reroute


def test_what_may_have_arrived_goes_to_no_other_carrier() -> None:
    for outcome, tries, policy in itertools.product(SubmitClass, range(6), DoubtPolicy):
        assert not decide(outcome, tries, policy, doubted=True, others=True).reroute


@pytest.mark.parametrize("outcome", NO_TRY)
def test_message_that_was_not_taken_in_spends_no_try_however_often(outcome: SubmitClass) -> None:
    for tries in range(10):
        decision = decide(outcome, tries, RESEND)
        assert (decision.next, decision.spends_try) == (Next.AGAIN, False)
        assert decision.delay_seconds <= 1


def test_unanswered_message_is_resent_or_held_as_the_carriers_policy_says() -> None:
    for tries in range(MAX_TRIES - 1):
        again = decide(SubmitClass.UNKNOWN, tries, RESEND)
        assert (again.next, again.spends_try) == (Next.AGAIN, True)
    for policy, tries in ((RESEND, MAX_TRIES - 1), *((HOLD, tries) for tries in range(MAX_TRIES))):
        end = decide(SubmitClass.UNKNOWN, tries, policy)
        assert (end.next, end.happening) == (Next.END, Happening.LEFT_IN_DOUBT)


def test_message_that_may_have_arrived_never_ends_as_failed() -> None:
    for outcome, tries, policy in itertools.product(SubmitClass, range(6), DoubtPolicy):
        decision = decide(outcome, tries, policy, doubted=True)
        if decision.next is Next.END:
            assert decision.happening is Happening.LEFT_IN_DOUBT
        else:
            assert decision == decide(outcome, tries, policy)


def test_every_outcome_at_every_try_has_a_decision_and_no_message_is_tried_for_ever() -> None:
    for outcome, tries, policy in itertools.product(SubmitClass, range(12), DoubtPolicy):
        decision = decide(outcome, tries, policy)
        assert (decision.next is Next.AGAIN) == (decision.happening is None)
        if decision.next is Next.AGAIN and decision.spends_try:
            assert tries + 1 < MAX_TRIES
