"""What makes a result whole: the rules for an `InspectionCompleted`, before it is sent, for every front door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.codec import Undecodable, UndecodableReason, codec_for
from schemas.inspections import InspectionCompleted


class ResultRefusedError(ValueError):
    """A result that cannot be sent: `field` is the one to mend, `reason` (a word of the codec) and `detail` say why."""

    def __init__(self, field: str, detail: str, reason: UndecodableReason = "missing-field") -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail
        self.reason = reason


def checked_result(fields: Mapping[str, Any]) -> InspectionCompleted:
    """The result, as strictly as any that arrives on the topic. Raises `ResultRefusedError` naming the field."""
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        result: InspectionCompleted = codec_for("inspection-results").decode(
            msgspec.json.encode({"event": "InspectionCompleted", **given})
        )
    except Undecodable as error:
        raise ResultRefusedError(error.field, error.detail, error.reason) from None
    if result.outcome == "not-inspected" and not result.reason:
        raise ResultRefusedError("reason", "needed with this outcome")
    if result.outcome == "passed-on" and not result.passed_to:
        raise ResultRefusedError("passed_to", "needed with this outcome")
    if result.outcome in ("clear", "irregularity", "seizure") and result.method == "none":
        raise ResultRefusedError("method", "an inspection has a method")
    return result
