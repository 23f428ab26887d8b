"""The fairness report speaks of groups of travellers in the audit sample, and of nobody alone."""

from __future__ import annotations

from agents.risk.fairness import OTHERS, Audited, fairness, wilson


def sample(group: str, travellers: int, finds: int, score: float) -> list[Audited]:
    return [Audited(group, score, False, number < finds) for number in range(travellers)]


def test_a_group_that_is_scored_above_what_its_finds_explain_is_named() -> None:
    reports = {report.group: report for report in fairness([*sample("AA", 200, 4, 0.02), *sample("BB", 200, 1, 0.3)])}
    assert not reports["AA"].overscored
    assert reports["BB"].overscored


def test_small_groups_are_reported_together_or_not_at_all() -> None:
    few = [*sample("AA", 20, 1, 0.1), *sample("BB", 20, 0, 0.1), *sample("CC", 50, 1, 0.1)]
    assert [report.group for report in fairness(few)] == ["CC", OTHERS]
    assert [report.group for report in fairness(sample("AA", 29, 1, 0.1))] == []


def test_the_interval_holds_the_share_and_stays_within_zero_and_one() -> None:
    for finds in (0, 3, 50):
        low, high = wilson(finds, 50)
        assert 0.0 <= low <= finds / 50 <= high + 1e-12 <= 1.0 + 1e-12
