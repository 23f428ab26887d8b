"""Sends what officers do to Kafka, and says it is done when every in-sync replica has it and it was read back.

Claims and results are ordered by the log, not by this process: so the answer to "am I first?" is read back from it,
and two consoles give the same answer. A request that is sent twice carries the same id and has one effect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.epoch import epoch_ms
from agents.refusals import ALREADY_RESOLVED
from agents.standing import Said
from schemas.casework import AlertClaimed, ClaimGivenUp, CriterionFeedbackGiven
from schemas.codec import ce_type_of, encode
from schemas.inspections import InspectionCompleted, InspectionWithdrawn
from streams.console.cases import Case, Cases
from streams.results import ResultRefusedError, checked_result
from streams.wire import cloud_event, rfc3339

if TYPE_CHECKING:
    from streams.settings import Settings

CLAIM: Final = timedelta(hours=1)
"""A claim stands for so long without a result; then the alert is open to others."""
UNDO: Final = timedelta(minutes=1)
_READ_BACK_S: Final = 10.0
_SILENT_S: Final = 10.0
"""Brokers that have not answered for so long are sent nothing: as long as the page waits before it says so, too."""


class RefusedError(Exception):
    """What was asked for cannot be done. `status` is the HTTP status, `code` what the page translates."""

    def __init__(self, status: int, code: str, **about: Any) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.about = about


class Desk:
    """Claims, gives up, reports and withdraws, for users whose right to do so was checked."""

    def __init__(
        self,
        settings: Settings,
        cases: Cases,
        position: Callable[[str, int], int],
        silent_s: Callable[[str, str], float] = lambda _topic, _key: 0.0,
    ) -> None:
        """`position`: the offset up to which a partition was read back; `silent_s`: for how long no broker has
        answered for the partition that a key of a topic goes to.
        """
        self._settings = settings
        self._cases = cases
        self._position = position
        self._silent_s = silent_s
        self._producer: AIOKafkaProducer | None = None
        self._read = asyncio.Condition()

    async def start(self) -> None:
        """Connect. Raises the client's `KafkaError`."""
        self._producer = AIOKafkaProducer(
            **self._settings.client_options(),
            client_id=f"{self._settings.group}-console",
            acks="all",
            enable_idempotence=self._settings.idempotence,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
        )
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def read_on(self) -> None:
        """More records were folded: who waits for theirs may look."""
        async with self._read:
            self._read.notify_all()

    async def claim(self, case: Case, officer: str) -> None:
        """Claim a case. Raises `RefusedError` when somebody else holds it or it is closed."""
        now = _now()
        if case.stand != "open":
            raise _already_filed(case, officer)
        held = self._cases.claim(case, epoch_ms(now))
        if held is not None and held.officer != officer:
            raise RefusedError(409, "claimed", by=held.officer)
        if (ended := self._cases.claims.ended(case.decision_id)) is not None:  # by another machine's clock
            now = max(now, ended + timedelta(milliseconds=1))
        event = AlertClaimed(
            claim_id=id_of("cl", case.decision_id, officer, str(epoch_ms(now))),
            decision_id=case.decision_id,
            control_point=case.control_point,
            officer=officer,
            claimed_at=now,
            until=now + CLAIM,
        )
        await self._send("casework", case.control_point, event, event.claim_id, epoch_ms(now))
        held = self._cases.claim(case, epoch_ms(_now()))
        if held is None or held.officer != officer:
            raise RefusedError(409, "claimed", by=held.officer if held else "")

    async def give_up(self, case: Case, officer: str, *, any_claim: bool) -> None:
        """Let go of a case; with `any_claim` also of somebody else's claim."""
        now = _now()
        held = self._cases.claim(case, epoch_ms(now))
        if held is None:
            return
        if held.officer != officer and not any_claim:
            raise RefusedError(409, "claimed", by=held.officer)
        event = ClaimGivenUp(
            claim_id=held.claim_id,
            decision_id=case.decision_id,
            control_point=case.control_point,
            officer=held.officer,
            given_up_at=now,
            by=None if held.officer == officer else officer,
        )
        await self._send("casework", case.control_point, event, f"{held.claim_id}/given-up", epoch_ms(now))

    async def report(self, case: Case, officer: str, said: dict[str, Any], request: str) -> InspectionCompleted:
        """File a result. Raises `RefusedError`: not the holder of the claim, filed already, or a field is refused."""
        now = _now()
        result_id = id_of("r", case.decision_id, officer, request)
        standing = case.result
        if standing is not None and standing.result_id == result_id:
            return standing  # the button was pressed twice
        held = self._cases.claim(case, epoch_ms(now))
        mine = held is not None and held.officer == officer
        if case.stand != "open" or (not mine and standing is not None and standing.officer == officer):
            raise _already_filed(case, officer)
        if not mine:
            raise RefusedError(409, "claimed" if held else "claim-first", by=held.officer if held else "")
        at = now - timedelta(milliseconds=case.shift_ms)
        fields = {name: value for name, value in said.items() if value not in (None, "", [])}
        result = _checked(
            {
                **fields,
                "result_id": result_id,
                "decision_id": case.decision_id,
                "control_point": case.control_point,
                "inspected_at": at,
                "officer": officer,
            }
        )
        await self._send("inspection-results", case.control_point, result, result_id, epoch_ms(at))
        if case.result is None or case.result.result_id != result_id:
            why = case.why_refused(result_id)
            raise _already_filed(case, officer) if why in (None, ALREADY_RESOLVED) else RefusedError(409, str(why))
        return result

    async def withdraw(self, case: Case, officer: str) -> None:
        """Take back one's own result within the minute, as an event that corrects it.

        Raises `RefusedError`, also when another result took its place meanwhile.
        """
        now = _now()
        result = case.result
        if result is None:
            raise RefusedError(409, "nothing-to-undo")
        if result.officer != officer:
            raise RefusedError(403, "not-yours")
        if epoch_ms(now) - case.result_ms > UNDO.total_seconds() * 1000:
            raise RefusedError(409, "too-late")
        at = now - timedelta(milliseconds=case.shift_ms)
        event = InspectionWithdrawn(
            withdrawal_id=id_of("w", result.result_id),
            result_id=result.result_id,
            decision_id=case.decision_id,
            control_point=case.control_point,
            withdrawn_at=at,
            reason="undone",
            officer=officer,
        )
        await self._send("inspection-results", case.control_point, event, event.withdrawal_id, epoch_ms(at))
        if not case.standing.knows(Said.by(event)):
            raise RefusedError(409, "not-undone")

    async def tell_author(self, event: CriterionFeedbackGiven) -> None:
        """Send feedback on a criterion."""
        await self._send("casework", event.control_point, event, event.feedback_id, epoch_ms(event.given_at))

    async def _send(self, topic: str, key: str, event: msgspec.Struct, ce_id: str, at_ms: int) -> None:
        assert self._producer is not None, "the desk is started"  # noqa: S101
        if self._silent_s(topic, key) > _SILENT_S:
            # An idempotent producer would try for as long as they are away: what nobody waits for any more, a claim of
            # an hour ago, would take effect when they are back.
            raise RefusedError(503, "silent")
        headers = cloud_event(ce_id, ce_type_of(type(event)), b"borderflow/console", rfc3339(time.time()))
        try:
            told = await self._producer.send_and_wait(
                topic, encode(event), key=key.encode(), headers=headers, timestamp_ms=at_ms
            )
        except KafkaError as error:
            raise RefusedError(503, "brokers", cause=type(error).__name__) from None
        try:
            async with asyncio.timeout(_READ_BACK_S), self._read:
                await self._read.wait_for(lambda: self._position(topic, told.partition) > told.offset)
        except TimeoutError:
            raise RefusedError(503, "not-read-back") from None


def _already_filed(case: Case, officer: str) -> RefusedError:
    """A result stands: another's, or one of the officer's own, whose answer was lost on its way back."""
    result = case.result
    if result is not None and result.officer == officer:
        return RefusedError(409, "filed-before", outcome=result.outcome)
    return RefusedError(409, "already-filed", by=result.officer if result is not None else "")


def _checked(fields: dict[str, Any]) -> InspectionCompleted:
    try:
        return checked_result(fields)
    except ResultRefusedError as error:
        raise RefusedError(422, "field", field=error.field, why=error.reason, detail=error.detail) from None


def id_of(kind: str, *parts: str) -> str:
    """An id that follows from its parts."""
    return f"{kind}-{blake2b(chr(31).join(parts).encode(), digest_size=16).hexdigest()}"


def _now() -> datetime:
    at = datetime.now(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
