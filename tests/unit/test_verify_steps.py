"""Verifying screening: each lodgement is screened with the profiles of the version that its output names."""

from __future__ import annotations

from agents.risk.brain import Brain
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from streams.replay.verify_chain import _ScreeningSteps
from tests.border import policy_of


def test_a_brain_that_was_made_anew_where_another_one_lay_is_not_taken_for_it() -> None:
    policy = policy_of()
    steps = _ScreeningSteps(b"k" * 32)
    book = RiskInformationBook()
    for _ in range(50):
        brain = Brain(Profiles())  # often at the address of the one that is freed
        assert steps.of(policy, brain, book)._profiles is brain.profiles
        assert steps.of(policy, brain, book) is steps.of(policy, brain, book)
        del brain
