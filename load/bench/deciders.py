"""The deciders that every host of the benchmarks hosts: the same steps, policy, criteria and risk information."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import NamedTuple

from agents.filtering import Filtering
from agents.reevaluation import ReEvaluation
from agents.risk.brain import Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.policy import Policy
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.selection import Selection
from agents.step import Step

PSEUDONYM_KEY = b"benchmark"


class Deciders(NamedTuple):
    """The four steps and what they read."""

    screening: Screening
    filtering: Filtering
    selection: Selection
    reevaluation: ReEvaluation
    brain: Brain
    criteria: CriteriaBook
    risk_information: RiskInformationBook

    @property
    def by_input(self) -> Mapping[str, Step]:
        """The three steps that every item passes, by the topics that they take."""
        steps: tuple[Step, ...] = (self.screening, self.filtering, self.selection)
        return {topic: step for step in steps for topic in step.inputs}


def deciders(policy: Policy) -> Deciders:
    """New steps with empty books."""
    profiles, criteria, risk_information = Profiles(), CriteriaBook(), RiskInformationBook()
    brain = Brain(profiles)
    return Deciders(
        Screening(policy, profiles, risk_information, PSEUDONYM_KEY),
        Filtering(policy, criteria),
        Selection(policy, brain, version("borderflow")),
        ReEvaluation(policy),
        brain,
        criteria,
        risk_information,
    )
