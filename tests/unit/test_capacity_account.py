"""The account and the bar of one control point, by themselves."""

from __future__ import annotations

import pytest
from msgspec import structs

from agents.risk.capacity import DAY_MS, CapacityAccount, RankWindow
from agents.risk.policy import Controller
from schemas.codec import codec_for
from schemas.decisions import Layer, SelectionDecided
from schemas.documents import examples

BLANK: SelectionDecided = structs.replace(
    codec_for("decisions").decode(next(iter(examples("decisions", 1).values()))),
    auto_cleared=False, rank=None, surge=0.0, window=0, balance=0.0, layer=None,
)  # fmt: skip


def account_of(ranks: list[float], share: float = 0.1, layer: Layer | None = None, **of_all: object) -> CapacityAccount:
    """An account that has seen an item of each rank, one a second."""
    account = CapacityAccount(Controller(), share)
    for number, rank in enumerate(ranks):
        fold(account, number * 1000, score=rank, layer=layer, **of_all)
    return account


def fold(account: CapacityAccount, at_ms: int, **decided: object) -> None:
    account.advance(at_ms)
    account.fold(structs.replace(BLANK, **decided), at_ms)


HUNDRED = [n / 100.0 for n in range(100)]


def reached(account: CapacityAccount) -> int:
    """How many ranks of the window reach the bar."""
    return sum(rank >= account.score_bar() for rank in account.ranks.ascending)


def test_the_bar_lets_through_as_many_as_the_capacity_has_room_for() -> None:
    assert reached(account_of(HUNDRED)) == 10
    assert reached(account_of(HUNDRED, share=0.02)) == 2


def test_what_was_ordered_is_taken_from_the_room_of_the_bar() -> None:
    account = account_of(HUNDRED)
    for number in range(4):
        fold(account, (100 + number) * 1000, layer="mandatory")
    assert len(account.ranks) == 100  # what is ordered does not compete
    assert reached(account) == 6  # of 10.4 places 4 are taken


def test_what_the_model_took_is_not_taken_twice() -> None:
    account = account_of(HUNDRED)
    for number in range(4):
        fold(account, (100 + number) * 1000, layer="model", score=0.999)
    assert account.taken == 0
    assert reached(account) == 10


def test_a_part_of_a_place_lowers_the_bar_towards_the_next_rank() -> None:
    window = RankWindow()
    window.ascending = [0.1, 0.2, 0.4, 0.8]
    assert window.bar(1.0) == 0.8
    assert window.bar(1.5) == pytest.approx(0.6)
    assert window.bar(2.25) == pytest.approx(0.35)
    assert window.bar(4.0) == window.bar(9.0) == 0.1
    assert window.bar(0.9) > 0.8


def test_a_surplus_lowers_the_bar_and_a_debt_raises_it() -> None:
    even, ahead, behind = account_of(HUNDRED), account_of(HUNDRED, balance=0.3), account_of(HUNDRED, balance=-0.3)
    assert (reached(behind), reached(even), reached(ahead)) == (7, 10, 13)


def test_with_half_a_window_s_capacity_left_over_there_is_no_bar() -> None:
    assert account_of(HUNDRED, balance=6.1).score_bar() == 0.0
    assert account_of(HUNDRED, balance=5.9).score_bar() > 0.0


def test_what_is_cleared_does_not_compete() -> None:
    account = account_of(HUNDRED)
    fold(account, 100_000, score=0.99, auto_cleared=True)
    assert (len(account), len(account.ranks)) == (101, 100)


def test_an_item_competes_as_the_larger_of_its_rank_and_of_what_a_look_is_worth() -> None:
    account = CapacityAccount(Controller(), 0.1)
    fold(account, 0, score=0.5, rank=0.2, surge=0.6)
    fold(account, 1, score=0.5, rank=0.3, surge=0.1)
    fold(account, 2, score=0.5)
    assert account.ranks.ascending == [0.3, 0.5, 0.6]


def test_a_quota_is_its_share_of_the_window_s_capacity_to_the_nearest_whole() -> None:
    account = account_of(HUNDRED)  # a capacity of 10
    for number, free in enumerate((True, True, True, False)):  # a quarter of it is 2.5
        assert account.within_quota("surge", 0.25) == free
        fold(account, 100_000 + number, layer="surge")
    assert account_of(HUNDRED).within_quota("anomaly", 0.04) is False
    assert account_of(HUNDRED).within_quota("anomaly", 0.04, at_least=1.0) is True


def test_no_debt_and_no_surplus_outlasts_a_window_s_capacity() -> None:
    account = account_of(HUNDRED)
    for balance, after in ((500.0, 12.0), (-500.0, -12.0), (3.0, 3.1)):
        account.balance = balance
        assert account.after(selected=False) == pytest.approx(after)
    account.balance = 3.0
    assert account.after(selected=True) == pytest.approx(2.1)


def test_a_bar_above_all_that_comes_is_drawn_from_the_newest_quarter() -> None:
    account = account_of([0.9] * 75 + [n / 1000.0 for n in range(24)])
    assert account.window_after(2.0) == 100
    assert account.window_after(2.5) == 25  # 100 with the item in hand
    fold(account, 99_000, score=0.024, window=25)
    assert max(account.ranks.ascending) == 0.024
    assert reached(account) == 2  # a tenth of the 25 that compete, not of the 100 that are in the window
    assert len(account) == 100


def test_a_quarter_is_no_less_than_the_capacity_s_quantile_needs() -> None:
    account = account_of(HUNDRED, share=0.04)  # 2 of 50
    assert account.window_after(3.0) == 50
    assert account_of(HUNDRED[:90], share=0.04).window_after(3.0) == 91  # less than twice that is left as it is


def test_an_item_is_forgotten_when_it_is_older_than_the_horizon_and_not_before() -> None:
    account = CapacityAccount(Controller(window_days=1.0), 0.1)
    fold(account, 0, score=0.5, balance=0.7)
    account.advance(DAY_MS)
    assert (len(account), account.balance) == (1, 0.7)
    account.advance(DAY_MS + 1)
    assert (len(account), len(account.ranks), account.balance) == (0, 0, 0.0)
