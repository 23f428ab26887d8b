"""The columns of each topic, read off its events: what can be asked about.

None of them is about a person (a test compares them with the marks of the schemas).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

from streams.archive.envelope import TEXTS, TIME, Column


def _tag(event: Any) -> str:
    return str(type(event).__struct_config__.tag)


def _hs6(event: Any) -> str:
    return str(event.goods[0].hs_code[:6])


def _fired(event: Any) -> list[dict[str, Any]]:
    return [{"criterion_id": hit.criterion_id, "version": hit.version, "action": hit.action, "capped": hit.capped}
            for hit in event.criteria]  # fmt: skip


def _said(event: Any) -> list[dict[str, Any]]:
    return [{"code": reason.code, "text": reason.text, "weight": reason.weight} for reason in event.reasons]


def _hit_ids(event: Any) -> list[str]:
    return [hit.entry_id for hit in event.hits]


_FIRED = pa.list_(
    pa.struct([("criterion_id", pa.string()), ("version", pa.int64()), ("action", pa.string()), ("capped", pa.bool_())])
)
_SAID = pa.list_(pa.struct([("code", pa.string()), ("text", pa.string()), ("weight", pa.float64())]))


def _text(name: str, meaning: str, path: str | Callable[[Any], Any] | None = None) -> Column:
    return Column(name, pa.string(), path or name, meaning)


def _whole(name: str, meaning: str, path: str | Callable[[Any], Any] | None = None) -> Column:
    return Column(name, pa.int64(), path or name, meaning)


def _number(name: str, meaning: str, path: str | Callable[[Any], Any] | None = None) -> Column:
    return Column(name, pa.float64(), path or name, meaning)


def _flag(name: str, meaning: str, path: str | None = None) -> Column:
    return Column(name, pa.bool_(), path or name, meaning)


def _time(name: str, meaning: str, path: str | None = None) -> Column:
    return Column(name, TIME, path or name, meaning)


def _texts(name: str, meaning: str, path: str | Callable[[Any], Any] | None = None) -> Column:
    return Column(name, TEXTS, path or name, meaning)


_LODGED_AT = _time("lodged_at", "when the lodgement says that it was lodged")
_CONTROL_POINT = _text("control_point", "customs office of entry")
_STREAM = _text("stream", "manifests, express-cargo or passengers")
_ITEM_ID = _text("item_id", "the item: stream, lodgement and place in it")
_SUBJECT = _text("subject", "pseudonym of the consignee, or of the traveller's document")
_DECISION_ID = _text("decision_id", "the decision; the same after any redelivery")


def _origin(path: str = "origin") -> tuple[Column, ...]:
    return (
        _text("origin_topic", "topic of the lodgement that the item came from", f"{path}.topic"),
        _whole("origin_partition", "its partition", f"{path}.partition"),
        _whole("origin_offset", "its offset", f"{path}.offset"),
        _whole("origin_index", "place of the item in the lodgement", f"{path}.index"),
    )


def _upstream(what: str) -> tuple[Column, ...]:
    return (
        _whole("upstream_partition", f"partition of the {what} that this one follows from", "upstream.partition"),
        _whole("upstream_offset", "its offset", "upstream.offset"),
    )


COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "manifests": (
        _text("manifest_id", "the manifest"), _LODGED_AT, _CONTROL_POINT, _text("carrier", "code of the carrier"),
        _text("mode", "sea, air, road or rail", "conveyance.mode"),
        _text("conveyance", "IMO number or registration", "conveyance.identifier"),
        _text("port_of_discharge", "UN/LOCODE"), _time("eta", "expected arrival"),
        _whole("consignments", "house bills in the manifest", lambda event: len(event.consignments)),
    ),
    "express-cargo": (
        _text("waybill", "the waybill"), _LODGED_AT, _CONTROL_POINT, _text("courier", "code of the courier"),
        _text("departure", "country of departure"), _text("port_of_loading", "UN/LOCODE"),
        _time("eta", "expected arrival"), _text("platform", "marketplace"), _text("hs6", "HS of the first line", _hs6),
        _whole("lines", "lines of goods", lambda event: len(event.goods)), _whole("revision", "of the lodgement"),
    ),
    "passengers": (
        _text("journey_id", "the journey"), _text("passenger_reference", "the carrier's reference in the journey"),
        _LODGED_AT, _CONTROL_POINT, _text("carrier", "code of the carrier"), _text("embarkation", "UN/LOCODE"),
        _text("disembarkation", "UN/LOCODE"), _time("eta", "expected arrival"), _flag("crew", "a member of the crew"),
        _whole("revision", "of the lodgement"),
    ),
    "screened": (
        _ITEM_ID, _STREAM, _whole("revision", "of the lodgement"), _CONTROL_POINT, _LODGED_AT,
        _time("due_at", "when the item would be released or arrives"), _SUBJECT,
        _text("shipper", "pseudonym of the shipper", "cargo.shipper"), _text("carrier", "of cargo", "cargo.carrier"),
        _text("hs6", "heading of the most valuable line", "cargo.goods.hs6"),
        _number("value_usd", "declared value at the reference rates", "cargo.goods.value_usd"),
        _number("gross_mass_kg", "of all lines", "cargo.goods.gross_mass_kg"),
        _text("origin", "country of origin", "cargo.goods.origin"),
        _text("departure", "country of departure", "cargo.departure"),
        _whole("inspections_on_record", "earlier inspections of the subject", "prior.inspections"),
        _whole("seizures_on_record", "earlier seizures", "prior.seizures"),
        _texts("hits", "entries of the risk information that matched", _hit_ids),
        _flag("trusted", "consigned to a trusted trader"), _texts("quality", "checks that failed"),
        _whole("profile_version", "of the prior record: an offset in labelled-examples"),
        _whole("risk_information_version", "an offset in risk-information"), *_origin(),
    ),
    "filtered": (
        _text("item_id", _ITEM_ID.meaning, "item.item_id"), _text("stream", _STREAM.meaning, "item.stream"),
        _text("control_point", _CONTROL_POINT.meaning, "item.control_point"),
        _time("lodged_at", _LODGED_AT.meaning, "item.lodged_at"), _text("subject", _SUBJECT.meaning, "item.subject"),
        _number("anomaly", "share of recent traffic of its kind that is less unusual"),
        _flag("auto_cleared", "plainly low risk"), _texts("indicators", "risk indicators"),
        Column("criteria", _FIRED, _fired, "criteria that fired; capped ones had no effect"),
        _whole("arrivals_24h", "of the subject, this one included", "monitored.arrivals_24h"),
        _number("value_24h_usd", "declared by the subject", "monitored.value_24h_usd"),
        _whole("criteria_version", "an offset in criteria"), *_origin("item.origin"), *_upstream("screened record"),
    ),
    "decisions": (
        _DECISION_ID, _ITEM_ID, _whole("revision", "of the lodgement"), _STREAM, _CONTROL_POINT, _SUBJECT, _LODGED_AT,
        _time("due_at", "when the item would be released or arrives"),
        _text("lane", "green, blue, yellow or red"), _flag("selected", "whether an officer shall look at it"),
        _text("layer", "the layer that selected it"), _texts("layers", "all layers that spoke"),
        _number("score", "rank within its stream"), _number("probability", "calibrated, where it is"),
        _number("rank", "what the score competed as", "competed_as"),
        _number("threshold", "what that had to reach"), _number("surge", "what a look at its flow is worth"),
        _number("propensity", "probability of what was decided"),
        _number("exploration_rate", "probability with which chance alone selects it"),
        _number("balance", "the control point's capacity account afterwards"),
        _texts("criteria", "criteria that acted"), Column("reasons", _SAID, _said, "why, most telling first"),
        _flag("auto_cleared", "plainly low risk"), _whole("model_version", "an offset in labelled-examples"),
        _whole("profile_version", "an offset in labelled-examples"),
        _whole("criteria_version", "an offset in criteria"),
        _whole("risk_information_version", "an offset in risk-information"),
        _text("policy_version", "name and hash of the policy"), _text("software", "version of borderflow that decided"),
        *_origin(), *_upstream("filtered record"),
    ),
    "alerts": (
        _text("alert_id", "the alert"), _text("decision_id", _DECISION_ID.meaning, "decision.decision_id"),
        _text("item_id", _ITEM_ID.meaning, "decision.item_id"), _text("stream", _STREAM.meaning, "decision.stream"),
        _text("control_point", _CONTROL_POINT.meaning, "decision.control_point"),
        _time("lodged_at", _LODGED_AT.meaning, "decision.lodged_at"), _text("lane", "where to", "decision.lane"),
        _text("layer", "the layer that selected it", "decision.layer"), _number("score", "rank", "decision.score"),
        _whole("priority", "1 the most urgent, 5 the least"), _time("raised_at", "event time"),
        _time("deadline", "by when to act"),
    ),
    "casework": (
        _text("event", "AlertAcknowledged, AlertClaimed, ...", _tag), _DECISION_ID, _CONTROL_POINT,
        _time("acknowledged_at", "of AlertAcknowledged"), _text("system", "that took the alert in"),
        _text("claim_id", "the claim"), _time("claimed_at", "of AlertClaimed"), _time("until", "end of the claim"),
        _time("given_up_at", "of ClaimGivenUp"), _text("feedback_id", "of CriterionFeedbackGiven"),
        _text("criterion_id", "that the feedback is on"), _whole("criterion_version", "of it"),
        _text("verdict", "useful, too-broad, too-narrow, wrong-target, outdated, unclear"), _time("given_at", "when"),
    ),
    "inspection-results": (
        _text("event", "InspectionCompleted, or InspectionWithdrawn that takes one back", _tag),
        _text("result_id", "the result, or the one that is withdrawn"), _DECISION_ID, _CONTROL_POINT,
        _time("inspected_at", "when"),
        _text("method", "how it was inspected"),
        _text("outcome", "clear, irregularity, seizure, not-inspected, passed-on"),
        _texts("categories", "what was found"), _whole("severity", "0 to 3"), _number("quantity", "found"),
        _text("quantity_unit", "unit of it"), _text("reason", "why it was not inspected"),
        _text("passed_to", "the control point that goes on with it"),
        _text("corrects", "the result that this one replaces"), _text("withdrawal_id", "of InspectionWithdrawn"),
        _time("withdrawn_at", "when"),
    ),
    "labelled-examples": (
        _text("event", "OutcomeLearned, or what a person decided on a model", _tag), _DECISION_ID,
        _text("result_id", "the result"), _STREAM, _CONTROL_POINT, _SUBJECT, _text("layer", "that selected it"),
        _text("lane", "where to"), _texts("criteria", "criteria that acted"), _number("score", "as decided"),
        _whole("label", "1 for a seizure or irregularity"), _text("outcome", "of the inspection"),
        _whole("severity", "0 to 3"), _number("weight", "of the lesson"), _number("propensity", "of the decision"),
        _number("exploration_rate", "of the decision"), _whole("model_version", "that decided"), _LODGED_AT,
        _time("inspected_at", "when"), _text("corrects", "the result whose lesson this one replaces"),
    ),
    "criteria": (
        _text("criterion_id", "the criterion"), _whole("version", "of it"), _text("title", "in words"),
        _texts("streams", "that it is for"), _text("condition", "when it fires"),
        _text("action", "direct, boost, whitelist"),
        _number("weight", "of a boost"), _text("category", "what it looks for"), _text("lane", "of a direct hit"),
        _number("cap", "share of a control point's items that it may touch"), _time("valid_from", "begin"),
        _time("valid_until", "end"), _flag("withdrawn", "ended by a person"),
    ),
    "risk-information": (
        _text("entry_id", "the entry"), _whole("version", "of it"),
        _text("kind", "watchlist, intelligence, trusted-trader"),
        _texts("streams", "that it is for"), _whole("severity", "1 to 3"), _text("category", "what it is about"),
        _text("source", "where it is from"), _time("valid_from", "begin"), _time("valid_until", "end"),
        _flag("withdrawn", "ended by a person"),
    ),
    "monitoring": (
        _text("event", "CoverageReported, DriftDetected, ...", _tag), _CONTROL_POINT, _STREAM,
        _time("since", "begin of the window"), _time("until", "end of the window"), _time("noticed_at", "when", "at"),
        _whole("items", "in the window"), _whole("selected", "in the window"), _whole("inspected", "in the window"),
        _whole("seizures", "in the window"), _whole("released", "alerts closed without an inspection, in the window"),
        _text("criterion_id", "of CriterionSuppressed"),
        _text("what", "of DriftDetected: the watched quantity"),
        _number("before", "its level"), _number("after", "its level"),
    ),
}  # fmt: skip
"""The columns of every topic, beside those of the envelope."""

DEAD_LETTER: Final = (
    _text("source_topic", "where the refused record stands", "dlq-topic"),
    _whole("source_partition", "its partition", "dlq-partition"),
    _whole("source_offset", "its offset", "dlq-offset"),
    _text("step", "that refused it", "dlq-step"),
    _text("reason", "why: docs/refusals-and-indicators.md", "dlq-reason"),
    _text("field", "the field that was wrong", "dlq-field"),
    _whole("item_index", "place of the refused item in its lodgement", "dlq-index"),
    _text("item_id", "the item, where it could be read", "dlq-item-id"),
    _whole("attempt", "how often it was refused", "dlq-attempt"),
)
"""The columns of dead-letter topics: they stand in headers."""
