"""Puts the four steps together: policy, books of broadcast knowledge, codecs, and which worker hosts what.

All steps of a worker share one copy of each book. A book is followed only where a hosted step reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING

from agents.filtering import Filtering
from agents.reevaluation import ReEvaluation
from agents.risk.brain import Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.policy import Policy, PolicyRefusedError
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.selection import Selection
from schemas.codec import codec_for
from streams.app import Topology
from streams.broadcast import MODEL_LOG, Book, Follow
from streams.policies import load_policy
from streams.settings import PREFIX, Settings, SettingsError
from streams.topics import RetentionTooShortError, check_retention

if TYPE_CHECKING:
    from agents.step import Step

CRITERIA = "criteria"
RISK_INFORMATION = "risk-information"

READS = {
    "screening": (MODEL_LOG, RISK_INFORMATION),
    "filtering": (CRITERIA,),
    "selection": (MODEL_LOG,),
    "reevaluation": (),
}
"""The broadcast topics that each step reads by way of a book."""


def read_policy(settings: Settings) -> Policy:
    """The policy of a worker. Raises `SettingsError` naming the variable, the file and the field."""
    try:
        return load_policy(settings.policy_file)
    except PolicyRefusedError as error:
        raise SettingsError(f"{PREFIX}POLICY_FILE: {error}") from None


def build_topology(settings: Settings, policy: Policy | None = None) -> Topology:
    """What a worker with these settings hosts; nothing is connected.

    Raises `SettingsError` for a policy that is refused, or one that remembers longer than a topic keeps its records.
    """
    policy = policy or read_policy(settings)
    profiles, criteria, risk_information = Profiles(), CriteriaBook(), RiskInformationBook()
    brain = Brain(profiles)
    books: dict[str, Book] = {MODEL_LOG: brain, CRITERIA: criteria, RISK_INFORMATION: risk_information}
    build: dict[str, Callable[[], Step]] = {
        "screening": lambda: Screening(policy, profiles, risk_information, settings.pseudonym_secret()),
        "filtering": lambda: Filtering(policy, criteria),
        "selection": lambda: Selection(policy, brain, version("borderflow")),
        "reevaluation": lambda: ReEvaluation(policy),
    }
    steps: tuple[Step, ...] = tuple(build[name]() for name in settings.step_names)
    try:
        check_retention(memory for step in steps for memory in step.memory)
    except RetentionTooShortError as error:
        raise SettingsError(f"{PREFIX}POLICY_FILE: {error}") from None
    return Topology(
        steps=steps,
        decoders={topic: codec_for(topic).decode for topic in topics_read(steps)},
        follows=tuple(
            Follow(topic, codec_for(topic).decode, book)
            for topic, book in books.items()
            if any(topic in READS[step.name] for step in steps)
        ),
        policy_version=policy.policy_version,
    )


def topics_read(steps: Iterable[Step]) -> tuple[str, ...]:
    """Every topic that these steps take in or remember, each once, in order."""
    read = (topic for step in steps for topic in (*step.inputs, *(memory.topic for memory in step.memory)))
    return tuple(dict.fromkeys(read))
