"""Recomputes what screening made of recorded lodgements, and filtering of recorded screened items.

Each step is checked against what is recorded before and after it, at the versions that the outputs name: profiles and
risk information for screening, criteria for filtering. Where a step has nothing recorded for an input (it was refused,
or was redelivered), the recomputed step must say nothing either. An output whose input is not there, or cannot be read,
is told too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import dropwhile
from typing import Any, Final

from agents.filtering import Filtering
from agents.risk.brain import Brain
from agents.risk.criteria import CriteriaBook
from agents.risk.policy import Policy
from agents.risk.profiles import Profiles
from agents.risk.risk_information import RiskInformationBook
from agents.screening import Screening
from agents.step import Arrival, Outcome
from schemas.codec import Undecodable, codec_for, encode
from streams.archive.layout import NotReachedError
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.replay.expected import Expected, Index, value_digest
from streams.replay.findings import Difference, Findings
from streams.replay.inputs import Inputs, Reach
from streams.replay.on_their_way import Traces
from streams.replay.shelf import Shelf
from streams.replay.verify_selection import PolicyOf, in_order
from streams.wire import header, sent_ms

_IDLE: Final = 2000
"""Items of a partition in a row by other policies after which no worker with this one is taken to be at work."""


class _InputCheck:
    """One partition of a step's input. `decide` is (record, event, policy, versions) -> what the step says.

    It says None where only another version of borderflow decides by the policy. `knowledge` is what the versions are
    of, in their order; `passed` is told of an input that was not decided because some of that is not archived yet.
    `was_taken` tells of an input after the last with a recorded output whether the step has passed it all the same,
    `is_refused` of one without any whether the step refused it.
    """

    def __init__(
        self,
        reader: ArchiveReader,
        topic: str,
        partition: int,
        output: str,
        expected: Iterator[Expected],
        decide: Callable[[Archived, Any, str | None, tuple[int, ...]], Outcome | None],
        knowledge: Sequence[Reach],
        policy: str | None,
        findings: Findings,
        noticed: Callable[[int], None],
        was_taken: Callable[[Archived], bool],
        is_refused: Callable[[Archived], bool] = lambda record: False,
        passed: Callable[[], None] = lambda: None,
    ) -> None:
        self._is_refused = is_refused
        self._reader, self._topic, self._partition, self._output = reader, topic, partition, output
        self._was_taken = was_taken
        self._expected, self._decide, self._findings, self._noticed = expected, decide, findings, noticed
        self._knowledge, self._passed = knowledge, passed
        self._versions, self._to_come = (0,) * len(knowledge), False
        self._inputs = Inputs(reader, topic, partition)
        self._policy = policy

    def run(self) -> Iterator[tuple[int, ...]]:
        """Check the partition; yields the versions that it needs next, before it uses them."""
        decode = codec_for(self._topic).decode
        head = next(self._expected, None)
        for record in self._reader.records(self._topic, self._partition):
            self._noticed(1)
            recorded: list[Expected] = []
            while head is not None and head.source_offset <= record.offset:
                if head.source_offset == record.offset:
                    recorded.append(head)
                else:
                    self._note_orphan(head)
                head = next(self._expected, None)
            try:
                event = decode(record.value, header(record.headers, "ce_type"))
            except Undecodable:  # dead-lettered when it came
                for one in recorded:
                    self._note("unexpected", one)
                continue
            before = self._versions
            if recorded:
                one, self._versions = recorded[0], recorded[0].versions
                named = zip(self._knowledge, self._versions, strict=True)
                self._to_come = any(known.is_to_come(version, one.sent_ms) for known, version in named)
                self._policy = next((one.policy for one in recorded if one.policy is not None), self._policy)
            if self._to_come:
                self._findings.unchecked += len(recorded) or 1
                self._passed()
                continue
            yield self._versions
            try:
                outcome = self._decide(record, event, self._policy, self._versions)
            except NotReachedError:
                named = zip(self._knowledge, self._versions, strict=True)
                if any(known.is_absent(version) for known, version in named):
                    raise
                for one in recorded:  # it names a version that the log never had
                    self._note("differs", one)
                self._versions = before
                self._passed()
                continue
            if outcome is None:
                self._note_others(recorded)
                continue
            self._compare(
                recorded, outcome, on_its_way=head is None and not self._was_taken(record),
                refused=self._is_refused(record),
            )  # fmt: skip

        while head is not None:
            self._note_orphan(head)
            head = next(self._expected, None)

    def _note_orphan(self, one: Expected) -> None:
        """Note an output of which the input is not there: nothing leads to it, or the archive does not have that."""
        if self._inputs.had(one.source_offset):
            self._note("unexpected", one)
        else:
            self._findings.unchecked += 1

    def _compare(self, recorded: list[Expected], outcome: Outcome, *, on_its_way: bool, refused: bool) -> None:
        made = {output.ce_id: output for output in outcome.outputs if output.topic == self._output}
        for one in recorded:
            self._findings.checked += 1
            output = made.pop(one.ce_id, None)
            if output is None:
                self._note("unexpected", one)
            elif value_digest(encode(output.event)) != one.digest:
                self._note("differs", one)
            elif one.altered:
                self._note("altered", one)
        for ce_id in made:
            if refused and not recorded:
                self._findings.refused += 1
            elif on_its_way and not recorded:
                self._findings.in_flight += 1
            else:
                self._findings.note(
                    Difference(kind="missing", topic=self._output, partition=-1, offset=-1, ce_id=ce_id)
                )

    def _note_others(self, recorded: list[Expected]) -> None:
        """Count what another version made of an input."""
        self._findings.others += len(recorded)
        for one in recorded:
            if one.altered:
                self._note("altered", one)

    def _note(self, kind: Any, one: Expected) -> None:
        self._findings.note(_difference(kind, self._output, one))


class _ScreeningSteps:
    """Screening by each policy, with the brain and the book that the shelves hold just now.

    A shelf that goes back begins another brain; what was made with the one before goes with it.
    """

    def __init__(self, pseudonym_key: bytes) -> None:
        self._key = pseudonym_key
        self._with: tuple[Brain, RiskInformationBook] | None = None
        self._steps: dict[str, Screening] = {}

    def of(self, policy: Policy, brain: Brain, book: RiskInformationBook) -> Screening:
        """The step."""
        if self._with is None or self._with[0] is not brain or self._with[1] is not book:
            self._with, self._steps = (brain, book), {}
        step = self._steps.get(policy.policy_version)
        if step is None:
            profiles = brain.profiles
            assert isinstance(profiles, Profiles)  # noqa: S101 - as made by `check_screening`
            step = self._steps[policy.policy_version] = Screening(policy, profiles, book, self._key)
        return step


def check_screening(
    reader: ArchiveReader, index: Index, policy_of: PolicyOf, pseudonym_key: bytes, traces: Traces,
    noticed: Callable[[int], None],
) -> Findings:  # fmt: skip
    """Recompute recorded screened items from recorded lodgements. Raises `ArchiveError`."""
    findings = Findings("screening", unchecked=index.sent_again("screened"))
    brains = Shelf(reader, "labelled-examples", lambda: Brain(Profiles()))
    entries = Shelf(reader, "risk-information", RiskInformationBook)
    steps = _ScreeningSteps(pseudonym_key)
    knowledge = (Reach(reader, "labelled-examples"), Reach(reader, "risk-information"))

    def decide(record: Archived, event: Any, version: str | None, versions: tuple[int, ...]) -> Outcome | None:
        if version is None:
            return Outcome()
        policy = policy_of(version)
        if policy is None:
            return None
        step = steps.of(policy, brains.at(versions[0]), entries.at(versions[1]))
        return step.decide(None, [_arrival(record, event)])

    lodged = [(topic, partition) for topic in Screening.inputs for partition in reader.catalogue.partitions(topic)]
    checks = []
    for topic, partition in dict.fromkeys([*lodged, *index.sources_of_screened()]):
        expected = index.of_screened(topic, partition)
        if topic not in Screening.inputs:
            for one in expected:
                findings.note(_difference("unexpected", "screened", one))
            continue
        checks.append(
            _InputCheck(
                reader,
                topic,
                partition,
                "screened",
                expected,
                decide,
                knowledge,
                index.first_policy,
                findings,
                noticed,
                lambda one: traces.is_screened(one.topic, one.partition, one.offset, sent_ms(one)),
                traces.is_refused,
            ).run()
        )
    in_order(checks)
    return findings


def check_filtering(
    reader: ArchiveReader, index: Index, policy_of: PolicyOf, traces: Traces, noticed: Callable[[int], None]
) -> Findings:
    """Recompute recorded filtered items from recorded screened ones. Raises `ArchiveError`."""
    findings = Findings("filtering", unchecked=index.sent_again("filtered"))
    shelf, knowledge = Shelf(reader, "criteria", CriteriaBook), (Reach(reader, "criteria"),)
    checks = []
    for partition in sorted({*reader.catalogue.partitions("screened"), *index.sources_of_filtered()}):
        filtered = _FilteredPartition(reader, partition, shelf, policy_of)
        expected = index.of_filtered(partition)
        checks.append(
            _InputCheck(
                reader,
                "screened",
                partition,
                "filtered",
                expected,
                filtered.decide,
                knowledge,
                index.first_policy,
                findings,
                noticed,
                lambda one: traces.is_filtered(sent_ms(one)),
                passed=filtered.forget,
            ).run()
        )
    in_order(checks)
    return findings


class _FilteredPartition:
    """Filtering's states for one partition, by policy: built anew where a worker with another policy took over.

    While workers with two policies share the items, whatever one decides the other's state remembers, so that nothing
    is read again at every turn; after `_IDLE` items it is let go.
    """

    def __init__(self, reader: ArchiveReader, partition: int, shelf: Shelf[CriteriaBook], policy_of: PolicyOf) -> None:
        self._reader, self._partition, self._shelf, self._policy_of = reader, partition, shelf, policy_of
        self._states: dict[str, Any] = {}
        self._idle: dict[str, int] = {}

    def decide(self, record: Archived, event: Any, version: str | None, versions: tuple[int, ...]) -> Outcome | None:
        """What filtering says of one record."""
        if version is None:
            return Outcome()
        arrival, book = _arrival(record, event), self._shelf.at(versions[0])
        for other in [one for one in self._states if one != version]:
            self._idle[other] += 1
            if self._idle[other] > _IDLE:
                del self._states[other]
            elif (policy := self._policy_of(other)) is not None:
                Filtering(policy, book).remember(self._states[other], [arrival])
        policy = self._policy_of(version)
        if policy is None:
            return None
        step = Filtering(policy, book)
        self._idle[version] = 0
        if version not in self._states:
            self._states[version] = self._rebuilt(step, record)
        return step.decide(self._states[version], [arrival])

    def forget(self) -> None:
        """Let all states go: something came that they do not know of."""
        self._states.clear()

    def _rebuilt(self, step: Filtering, upto: Archived) -> Any:
        state = step.begin(self._partition, upto.offset)
        oldest = upto.timestamp - int(step.memory[0].horizon.total_seconds() * 1000)
        decode = codec_for("screened").decode
        before = self._reader.records("screened", self._partition, 0, upto.offset)
        # From the first that is young enough all of them, late ones too, as a worker does.
        for earlier in dropwhile(lambda one: one.timestamp < oldest, before):
            with contextlib.suppress(Undecodable):  # dead-lettered when it came
                event = decode(earlier.value, header(earlier.headers, "ce_type"))
                step.remember(state, [_arrival(earlier, event)])
        return state


def _difference(kind: Any, topic: str, one: Expected) -> Difference:
    return Difference(kind=kind, topic=topic, partition=one.partition, offset=one.offset, ce_id=one.ce_id)


def _arrival(record: Archived, event: Any) -> Arrival[Any]:
    return Arrival(event, record.topic, record.partition, record.offset, record.timestamp, sent_ms(record))
