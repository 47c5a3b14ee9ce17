"""Who may begin how many calls: bounds that hold, places that are found, nothing that is forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.webhooks.turns import LATE_MS, LOOK_BACK_MS, Turn, Turns

PLACES, PER_ACCOUNT = 256, 32
START = 1_767_225_600_000


class World:
    """A model of the store and of endpoints: due callbacks per account as times, calls under way."""

    def __init__(self) -> None:
        self.turns = Turns(PLACES, PER_ACCOUNT)
        self.now = START
        self.due: list[tuple[int, int]] = []  # (due, account), oldest first
        self.held: Counter[int] = Counter()
        self.read = 0

    def add(self, account: int, count: int = 1) -> None:
        self.due += [(self.now, account)] * count

    def add_late(self, account: int, due: int) -> None:
        self.turns.stored_late(due)
        self.due = sorted([*self.due, (due, account)])

    def claim(self, turn: Turn) -> list[int]:
        """What the store does; counts the rows that it reads."""
        found: list[tuple[int, int]] = []
        for due, account in self.due:
            if due < turn.after_utc_ms:
                continue
            self.read += 1
            if (account == turn.only) if turn.only else (account not in turn.without):
                found.append((due, account))
            if len(found) == turn.limit:
                break
        for one in found:
            self.due.remove(one)
            self.held[one[1]] += 1
            self.turns.take(one[1])
        self.turns.claimed(turn, [due for due, _ in found])
        return [account for _, account in found]

    def step(self, *, everybody: bool = True) -> list[int]:
        """A group commit."""
        return [account for turn in self.turns.plan(self.now, everybody=everybody) for account in self.claim(turn)]

    def end(self, account: int, count: int = 1) -> None:
        for _ in range(min(count, self.held[account])):
            self.held[account] -= 1
            self.turns.leave(account)

    def settle_down(self, *hanging: int) -> None:
        """Steps until nothing more happens, the endpoints but those `hanging` answering at once."""
        while True:
            begun = self.step()
            for account in list(self.held):
                if account not in hanging:
                    self.end(account, self.held[account])
            if not begun and not self.turns.has_turns():
                return


def test_one_account_gets_its_limit_and_no_more() -> None:
    world = World()
    world.add(1, 1_000)
    world.settle_down(1)
    assert 1 < world.held[1] <= PER_ACCOUNT


def test_however_many_endpoints_hang_another_account_finds_a_place() -> None:
    world = World()
    hanging = range(1, 101)
    for account in hanging:
        world.add(account, 60)
        world.now += 10
        world.settle_down(*hanging)
    for _ in range(5):  # hanging calls time out, one after the other, and are begun again
        for account in hanging:
            world.end(account, 1)
            world.step()
    assert world.turns.free > 0
    world.add(999)
    world.now += 1_000
    assert 999 in world.step()


def test_a_hanging_endpoints_pile_is_not_read_at_every_claim() -> None:
    world = World()
    world.add(1, 20_000)
    world.settle_down(1)
    for _ in range(60):
        world.now += 1_000
        world.add(2)
        world.settle_down(1)
        assert world.held[2] == 0
    world.read = 0
    world.now += 1_000
    world.add(2)
    world.settle_down(1)
    assert not [account for _, account in world.due if account == 2]
    assert world.read < 1_000


def test_what_was_passed_over_is_begun_once_there_is_room() -> None:
    world = World()
    world.add(1, 200)
    world.settle_down(1)
    waiting = len(world.due)
    assert waiting
    for _ in range(waiting):
        world.end(1, 1)
        world.step(everybody=False)
    world.end(1, 100)
    world.step(everybody=False)
    assert not world.due


def test_a_callback_stored_late_is_not_missed_while_others_are_behind() -> None:
    world = World()
    world.add(1, 100)
    world.settle_down(1)
    world.now += 60_000
    world.settle_down(1)
    world.add_late(2, world.now - 7_000)  # a commit that took so long
    world.due.insert(0, (world.now - LATE_MS + 1, 2))  # from elsewhere
    world.settle_down(1)
    assert not [account for _, account in world.due if account == 2]


def test_after_the_clock_was_set_back_callbacks_are_found_within_minutes() -> None:
    world = World()
    world.add(1, 100)
    world.settle_down(1)
    world.now += 600_000
    world.settle_down(1)
    world.due.insert(0, (START + 1, 2))
    world.now += LOOK_BACK_MS
    world.settle_down(1)
    assert not [account for _, account in world.due if account == 2]


def test_without_a_free_place_nothing_is_claimed() -> None:
    turns = Turns(2, 2)
    for account in (1, 2):
        turns.take(account)
    assert turns.plan(START, everybody=True) == []
    turns.leave(1)
    (turn,) = turns.plan(START, everybody=True)
    assert turn.limit == 1
    assert turn.without == {2}


Step = Callable[[World], None]
accounts = st.integers(1, 6)
steps = st.one_of(
    st.builds(lambda a, n: ("add", a, n), accounts, st.integers(1, 120)),
    st.builds(lambda a, n: ("end", a, n), accounts, st.integers(1, 40)),
    st.builds(lambda a, n: ("wait", a, n), accounts, st.integers(1, 20_000)),
    st.builds(lambda a, n: ("late", a, n), accounts, st.integers(0, 60_000)),
    st.builds(lambda a, n: ("step", a, n), accounts, st.integers(0, 1)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=60))
def test_bounds_always_hold_and_everything_is_begun_in_the_end(todo: list[tuple[str, int, int]]) -> None:
    world = World()
    for what, account, number in todo:
        if what == "add":
            world.add(account, number)
        elif what == "late":
            world.add_late(account, world.now - number)
        elif what == "end":
            world.end(account, number)
        elif what == "wait":
            world.now += number
        else:
            world.step(everybody=bool(number))
        assert world.turns.free == PLACES - sum(world.held.values()) >= 0
        assert max(world.held.values(), default=0) <= PER_ACCOUNT
    for _ in range(2):
        for account in list(world.held):
            world.end(account, 1_000)
        world.now += 1_000
        world.settle_down()
    assert not world.due
