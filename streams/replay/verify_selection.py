"""Recomputes recorded decisions from the recorded filtered items, at the model and policy that each decision names.

A partition's state is the fold of its decisions, as in a worker. What is folded is what was recomputed, so one
decision that was tampered with is one difference, and not the first of many. Partitions are taken in the order of the
model versions that they need, so that the models are folded once.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from agents.epoch import epoch_ms
from agents.identity import record_id
from agents.risk.alerts import STEP
from agents.risk.brain import Brain
from agents.risk.policy import Horizons, Policy
from agents.risk.profiles import Profiles
from agents.risk.selectivity import Selectivity
from agents.risk.unscored import Scores
from agents.selection import Selection, SelectionState
from schemas.codec import Undecodable, codec_for, encode
from schemas.decisions import SelectionDecided
from schemas.items import ItemFiltered
from schemas.marks import Upstream
from streams.archive.layout import ArchiveError, NotReachedError
from streams.archive.reading import ArchiveReader
from streams.archive.rows import Archived
from streams.replay.findings import Difference, Findings, differing_fields
from streams.replay.inputs import Inputs, Reach
from streams.replay.on_their_way import Traces
from streams.replay.shelf import Shelf
from streams.replay.snapshots import Snapshots
from streams.wire import header, sent_ms, text_header

TRIED: Final = 50
"""Differences for which neighbouring versions are tried: an altered version must not lead the rest astray."""
_AHEAD: Final = 256

PolicyOf = Callable[[str], Policy | None]
"""The policy of a version; None for one that only another version of borderflow decides by."""


class Recorded:
    """One recorded decision; `event` None when its value is none."""

    __slots__ = ("ce_id", "event", "record")

    def __init__(self, record: Archived, event: SelectionDecided | None) -> None:
        self.record = record
        self.event = event
        self.ce_id = text_header(record, "ce_id") or ""

    @property
    def software(self) -> str | None:
        """The version of borderflow that it names."""
        return None if self.event is None else self.event.software


class PartitionCheck:
    """One partition of filtered and of decisions."""

    def __init__(
        self,
        reader: ArchiveReader,
        partition: int,
        shelf: Shelf[Brain],
        lessons: Reach,
        policy_of: PolicyOf,
        findings: Findings,
        traces: Traces,
        since_ms: int,
        until_ms: int,
        noticed: Callable[[int], None],
    ) -> None:
        self._traces = traces
        self._reader = reader
        self._partition = partition
        self._shelf = shelf
        self._lessons = lessons
        self._policy_of = policy_of
        self._findings = findings
        self._since_ms = since_ms
        self._until_ms = until_ms
        self._noticed = noticed
        self._decode_decision = codec_for("decisions").decode
        self._decode_filtered = codec_for("filtered").decode
        self._decisions = self._recorded()
        self._ahead: deque[Recorded] = deque()
        self._inputs = Inputs(reader, "filtered", partition)
        self._begun = False
        self._policy: Policy | None = None
        self._state: SelectionState | None = None
        self._version = 0
        self._known_from_ms = self._history_begins()

    def run(self) -> Iterator[int]:
        """Check the partition; yields the model version that it needs next, before it uses it."""
        for record in self._reader.records("filtered", self._partition):
            while self._is_of_no_input(record.offset):
                self._pass_over(self._ahead.popleft())
            try:
                filtered: ItemFiltered = self._decode_filtered(record.value, header(record.headers, "ce_type"))
            except Undecodable:  # dead-lettered when it came: nothing follows from it
                self._noticed(1)
                while (head := self._peek(0)) is not None and self._is_of(head, record.offset):
                    self._findings.note(self._difference("unexpected", self._ahead.popleft()))
                    self._fold_as_it_stands(head)
                continue
            refused = self._traces.is_refused(record)
            recorded = self._match(filtered, refused=refused)
            self._noticed(1)
            if recorded is None and refused:
                self._findings.refused += 1
                continue
            if recorded is None:
                self._note_undecided(record, filtered)
                continue
            self._begun = True
            event = recorded.event
            at_ms = epoch_ms(filtered.item.lodged_at)
            if self._is_others(recorded):
                self._note_others(recorded, inside=self._since_ms <= at_ms < self._until_ms)
                continue
            if at_ms >= self._until_ms and event is not None:
                self._state_for(recorded).fold(event, at_ms)
                continue
            if at_ms < max(self._since_ms, self._known_from_ms) and event is not None:
                self._findings.unchecked += at_ms >= self._since_ms
                self._state_for(recorded).fold(event, at_ms)
                continue
            version = self._version if event is None else event.model_version
            if event is not None and self._lessons.is_to_come(version, sent_ms(recorded.record)):
                self._findings.unchecked += 1
                self._fold_as_it_stands(recorded)
                continue
            yield version
            self._check(record, filtered, recorded, version)
        while self._peek(0) is not None:
            no_input = self._is_of_no_input()
            left = self._ahead.popleft()
            if no_input:
                self._pass_over(left)
            else:
                self._findings.note(self._difference("unexpected", left))

    def _is_of_no_input(self, before: int | None = None) -> bool:
        """Whether the next decision follows from an item, at an offset before this one, that the archive does not have.

        One that cannot be read stands before the next that can.
        """
        for place in range(_AHEAD):
            found = self._peek(place)
            if found is None:
                return False
            if found.event is not None:
                offset = found.event.upstream.offset
                return (
                    (before is None or offset < before) and self._is_of(found, offset) and not self._inputs.had(offset)
                )
        return False

    def _is_of(self, recorded: Recorded, offset: int) -> bool:
        """Whether a decision says that it follows from the item at an offset of this partition."""
        wanted = Upstream(topic="filtered", partition=self._partition, offset=offset)
        return recorded.event is not None and recorded.event.upstream == wanted

    def _pass_over(self, recorded: Recorded) -> None:
        """Note a decision of which the item is not archived."""
        if recorded.event is None:
            self._findings.note(self._difference("unreadable", recorded))
        elif recorded.record.altered:
            self._findings.note(self._difference("altered", recorded))
        else:
            self._findings.unchecked += self._since_ms <= epoch_ms(recorded.event.lodged_at) < self._until_ms
        self._fold_as_it_stands(recorded)

    def _fold_as_it_stands(self, recorded: Recorded) -> None:
        """Fold a decision that is not recomputed. Without a state of its policy it is among what the next one is built
        from."""
        self._begun, event = True, recorded.event
        if event is None:
            return
        if self._state is not None and self._policy is not None and event.policy_version == self._policy.policy_version:
            self._state.fold(event, epoch_ms(event.lodged_at))
        else:
            self._policy = self._state = None

    def _note_undecided(self, record: Archived, filtered: ItemFiltered) -> None:
        """Note an item without a decision: one that is on its way at the archive's end, or a decision that is missing.

        Nothing is to be said of what selection drops or refuses. What came before the archive's decisions do is not
        checked, unless they begin with the first that there was.
        """
        if not record.first or (self._state is not None and not self._is_due(filtered)):
            return
        ce_id = _decision_id(filtered)
        if self._peek(0) is None:
            if not self._traces.is_decided(ce_id, sent_ms(record)):
                self._findings.in_flight += 1
                return
        elif self._state is None and not self._is_before_the_first(filtered):
            self._findings.unchecked += 1
            return
        self._findings.note(
            Difference(kind="missing", topic="decisions", partition=self._partition, offset=-1, ce_id=ce_id)
        )

    def _is_before_the_first(self, filtered: ItemFiltered) -> bool:
        """Whether the policy of the very first decision takes an item that came before that one's."""
        first = self._peek(0)
        if self._begun or self._known_from_ms or first is None or first.event is None:
            return False
        policy = self._policy_of(first.event.policy_version)
        return policy is not None and policy.admits(filtered.item.control_point, filtered.item.stream)

    def _is_others(self, recorded: Recorded) -> bool:
        """Whether it was decided by a policy that only another version of borderflow decides by."""
        version = self._policy_named(recorded)
        try:
            return version is not None and self._policy_of(version) is None
        except ArchiveError:
            return False

    def _note_others(self, recorded: Recorded, *, inside: bool) -> None:
        """Count what another version decided. The state is built anew where this one took over."""
        self._policy = self._state = None
        if not inside:
            return
        self._findings.others += 1
        if recorded.record.altered:
            self._findings.note(self._difference("altered", recorded))

    # -- one decision

    def _check(self, record: Archived, filtered: ItemFiltered, recorded: Recorded, version: int) -> None:
        state = self._state_for(recorded)
        upstream = Upstream(topic="filtered", partition=self._partition, offset=record.offset)
        decision = self._recompute(state, filtered, upstream, version, recorded.software)
        self._findings.checked += 1
        kind: str | None = None
        if decision is None or encode(decision) != recorded.record.value:
            kind = "differs" if recorded.event is not None else "unreadable"
            if self._findings.differing < TRIED:
                decision, version = self._closest(state, filtered, upstream, version, recorded, decision)
        elif recorded.record.altered:
            kind = "altered"  # a header, the key, or the timestamp
        if kind is not None:
            value = b"" if decision is None else encode(decision)
            self._findings.note(self._difference(kind, recorded, differing_fields(recorded.record.value, value)))
        if decision is not None:
            self._version = version
            state.fold(decision, epoch_ms(decision.lodged_at))

    def _recompute(
        self, state: SelectionState, filtered: ItemFiltered, upstream: Upstream, version: int, software: str | None
    ) -> SelectionDecided | None:
        assert self._policy is not None  # noqa: S101 - set with the state
        item = filtered.item
        if not self._policy.admits(item.control_point, item.stream):
            return None
        try:
            scores = Scores(self._shelf.at(version))
        except NotReachedError:
            return None  # a version that the log never had
        appraisal = scores.appraise(filtered)
        if appraisal is None:
            return None
        rules = Selectivity(self._policy, scores, software)
        held = state.control_point_at(item.control_point, epoch_ms(item.lodged_at))
        return rules.decide(held, state.traffic, filtered, appraisal, upstream)

    def _closest(
        self, state: SelectionState, filtered: ItemFiltered, upstream: Upstream, version: int, recorded: Recorded,
        decision: SelectionDecided | None,
    ) -> tuple[SelectionDecided | None, int]:  # fmt: skip
        """What follows at the version of a neighbour, when that is nearer to what is recorded."""
        following = self._peek(0)
        neighbours = {self._version, following.event.model_version if following and following.event else self._version}
        best, best_version = decision, version
        fewest = 1000 if decision is None else len(differing_fields(recorded.record.value, encode(decision))) or 1000
        for other in sorted(neighbours - {version}):
            tried = self._recompute(state, filtered, upstream, other, recorded.software)
            if tried is not None:
                count = len(differing_fields(recorded.record.value, encode(tried))) or 1000
                if best is None or count <= fewest:  # a tie speaks for the neighbour: its version was altered
                    best, best_version, fewest = tried, other, count
        return best, best_version

    # -- state

    def _policy_named(self, recorded: Recorded) -> str | None:
        """The policy that a decision names; of the following one where it may have been altered and none is at hand."""
        event, following = recorded.event, None
        if event is not None and not recorded.record.altered:
            return event.policy_version
        if self._policy is None:
            following = self._peek(0)
        return following.event.policy_version if following and following.event else None

    def _state_for(self, recorded: Recorded) -> SelectionState:
        """The state under the policy of the decision in hand; built anew where a worker with another took over."""
        version = self._policy_named(recorded)
        if self._policy is None and version is None:
            raise ArchiveError(f"decisions[{self._partition}] offset {recorded.record.offset} names no policy")
        if self._policy is None or (version is not None and version != self._policy.policy_version):
            following = self._peek(0)
            goes_on = (
                following is not None and following.event is not None and following.event.policy_version == version
            )
            try:
                policy = self._policy_of(str(version))
            except ArchiveError:
                if self._policy is None or goes_on or self._state is None:
                    raise
                return self._state  # one decision names a policy that nobody knows: it was tampered with
            assert policy is not None  # noqa: S101 - else the decision is another version's
            self._policy, self._state = policy, self._rebuilt(policy, recorded.record)
        assert self._state is not None  # noqa: S101 - set with the policy
        return self._state

    def _rebuilt(self, policy: Policy, upto: Archived) -> SelectionState:
        step = Selection(policy, Brain(Profiles()))
        state = step.begin(self._partition, upto.offset + 1)
        oldest = upto.timestamp - int(policy.horizons.decisions.total_seconds() * 1000)
        for record in self._reader.records("decisions", self._partition, 0, upto.offset):
            if record.timestamp >= oldest and record.first:
                event = self._decoded(record)
                if event is not None:
                    state.fold(event, epoch_ms(event.lodged_at))
        return state

    def _history_begins(self) -> int:
        """From when (event time, ms) states are known: where the beginning is not archived, a horizon later."""
        chunks = self._reader.catalogue.chunks("decisions", self._partition)
        if not chunks or (chunks[0].first == 0 and not self._reader.facts(chunks[0].parts[0]).taken_out):
            return 0
        first = next(self._reader.records("decisions", self._partition), None)
        event = None if first is None else self._decoded(first)
        if first is None or event is None:
            return 1 << 62
        policy = self._policy_of(event.policy_version)
        horizon = (Horizons() if policy is None else policy.horizons).decisions
        return first.timestamp + int(horizon.total_seconds() * 1000)

    # -- reading

    def _recorded(self) -> Iterator[Recorded]:
        for record in self._reader.records("decisions", self._partition):
            if record.first:
                yield Recorded(record, self._decoded(record))
            else:
                self._findings.redelivered += 1

    def _decoded(self, record: Archived) -> SelectionDecided | None:
        try:
            event: SelectionDecided = self._decode_decision(record.value, header(record.headers, "ce_type"))
        except Undecodable:
            return None
        return event

    def _peek(self, place: int) -> Recorded | None:
        while len(self._ahead) <= place:
            following = next(self._decisions, None)
            if following is None:
                return None
            self._ahead.append(following)
        return self._ahead[place]

    def _match(self, filtered: ItemFiltered, *, refused: bool) -> Recorded | None:
        """The recorded decision on an item, None when it has none; what stands before it leads from nothing.

        A decision further on is of an item that was `refused` here, and sent again.
        """
        wanted = _decision_id(filtered)
        head = self._peek(0)
        if head is not None and head.ce_id == wanted:
            return self._ahead.popleft()
        if refused or not self._is_due(filtered):
            return None
        for place in range(1, _AHEAD):
            found = self._peek(place)
            if found is None:
                return None
            if found.ce_id == wanted:
                for _ in range(place):
                    self._findings.note(self._difference("unexpected", self._ahead.popleft()))
                return self._ahead.popleft()
        return None

    def _is_due(self, filtered: ItemFiltered) -> bool:
        """Whether a worker would decide it: it is no redelivery, and the policy takes it."""
        if self._state is None or self._policy is None:
            return False
        item = filtered.item
        return not self._state.marks.is_redelivery(filtered.upstream) and self._policy.admits(
            item.control_point, item.stream
        )

    def _difference(self, kind: Any, recorded: Recorded, fields: tuple[str, ...] = ()) -> Difference:
        record = recorded.record
        return Difference(kind=kind, topic="decisions", partition=record.partition, offset=record.offset,
                          ce_id=recorded.ce_id, fields=fields, software=recorded.software)  # fmt: skip


def check_selection(
    reader: ArchiveReader,
    policy_of: PolicyOf,
    traces: Traces,
    *,
    since_ms: int = 0,
    until_ms: int = 1 << 62,
    noticed: Callable[[int], None] = lambda count: None,
) -> Findings:
    """Recompute every recorded decision lodged from `since_ms` to before `until_ms` (event time).

    `noticed` is told of every filtered record that is done. Raises `ArchiveError` that names the file and the place.
    """
    findings = Findings("selection")
    snapshots = Snapshots(reader.catalogue.root, reader.key)

    def snapshot(upto: int) -> tuple[int, Brain] | None:
        brain = snapshots.latest(upto)
        return None if brain is None else (brain.version, brain)

    shelf = Shelf(reader, "labelled-examples", lambda: Brain(Profiles()), snapshot)
    lessons = Reach(reader, "labelled-examples")
    partitions = sorted({*reader.catalogue.partitions("filtered"), *reader.catalogue.partitions("decisions")})
    checks = [
        PartitionCheck(
            reader, partition, shelf, lessons, policy_of, findings, traces, since_ms, until_ms, noticed
        ).run()
        for partition in partitions
    ]
    in_order(checks)
    return findings


def in_order(checks: list[Iterator[Any]]) -> None:
    """Run iterators that yield what version they need next, always the one that needs the lowest."""
    waiting = [(version, number) for number, check in enumerate(checks) if (version := next(check, None)) is not None]
    heapq.heapify(waiting)
    while waiting:
        _, number = waiting[0]
        version = next(checks[number], None)
        if version is None:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, (version, number))


def _decision_id(filtered: ItemFiltered) -> str:
    origin = filtered.item.origin
    return record_id("d", STEP, origin.topic, origin.partition, origin.offset, origin.index)
