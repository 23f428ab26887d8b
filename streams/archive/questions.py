"""The questions that are asked every day, by name. `borderflow query --named NAME`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Question:
    """A named question. Its text knows `$since` and `$until`, and `$subject` where `needs_subject`."""

    meaning: str
    text: str
    needs_subject: bool = False


NAMED: Final = {
    "coverage-by-port": Question(
        "For each control point: items, what was selected and inspected of them, and the seizure rate.",
        """
        SELECT control_point, count(*) AS items,
               count(*) FILTER (selected) AS selected, count(*) FILTER (selected) / count(*) AS selected_share,
               count(*) FILTER (inspected) AS inspected, count(*) FILTER (inspected) / count(*) AS coverage,
               count(*) FILTER (seized) AS seizures,
               count(*) FILTER (seized) / nullif(count(*) FILTER (inspected), 0) AS seizure_rate
        FROM outcomes WHERE lodged_at >= $since AND lodged_at < $until
        GROUP BY control_point ORDER BY control_point
        """,
    ),
    "seizure-rate-trend": Question(
        "For each day and stream: the seizure rate of what was inspected, and that of all items as the audit sample "
        "tells it, each drawn item weighted by one over its probability.",
        """
        SELECT CAST(lodged_at AS DATE) AS day, stream, count(*) AS items,
               count(*) FILTER (inspected) AS inspected, count(*) FILTER (seized) AS seizures,
               count(*) FILTER (seized) / nullif(count(*) FILTER (inspected), 0) AS seizure_rate,
               count(*) FILTER (inspected AND speaks_for > 0) AS audited,
               round(coalesce(fsum(speaks_for) FILTER (seized), 0.0) / fsum(speaks_for) FILTER (inspected), 9)
                   AS audit_seizure_rate
        FROM (
            SELECT *, CASE WHEN list_contains(layers, 'exploration') THEN 1 / nullif(exploration_rate, 0) END
                AS speaks_for
            FROM outcomes WHERE lodged_at >= $since AND lodged_at < $until
        )
        GROUP BY day, stream ORDER BY day, stream
        """,
    ),
    "criteria-effectiveness": Question(
        "For each criterion and version: items it fired on, hits over its cap, and what was found where it acted.",
        """
        WITH fired AS (
            SELECT f.origin_topic, f.origin_partition, f.origin_offset, f.origin_index, unnest(f.criteria) AS hit
            FROM filtered f
            WHERE f.lodged_at >= $since AND f.lodged_at < $until AND len(f.criteria) > 0
        )
        SELECT hit.criterion_id AS criterion_id, hit.version AS version, hit.action AS action, count(*) AS hits,
               count(*) FILTER (hit.capped) AS capped, count(*) FILTER (selected AND NOT hit.capped) AS selected,
               count(*) FILTER (inspected AND NOT hit.capped) AS inspected,
               count(*) FILTER (seized AND NOT hit.capped) AS seizures,
               count(*) FILTER (seized AND NOT hit.capped)
                   / nullif(count(*) FILTER (inspected AND NOT hit.capped), 0) AS hit_rate
        FROM fired LEFT JOIN outcomes o USING (origin_topic, origin_partition, origin_offset, origin_index)
        GROUP BY ALL ORDER BY hits DESC, criterion_id, version
        """,
    ),
    "top-reasons": Question(
        "For each reason of selected items (without the rest of a score): how often given, the seizure rate then.",
        """
        WITH said AS (
            SELECT unnest(reasons) AS reason, inspected, seized
            FROM outcomes WHERE selected AND lodged_at >= $since AND lodged_at < $until
        )
        SELECT reason.code AS code, any_value(reason.text ORDER BY reason.text) AS example, count(*) AS times,
               round(favg(reason.weight), 6) AS mean_weight, count(*) FILTER (inspected) AS inspected,
               count(*) FILTER (seized) / nullif(count(*) FILTER (inspected), 0) AS seizure_rate
        FROM said WHERE code <> 'remainder' GROUP BY code ORDER BY times DESC, code LIMIT 50
        """,
    ),
    "subject-history": Question(
        "Every decision on one subject (a pseudonym), with what came of it.",
        """
        SELECT lodged_at, stream, control_point, item_id, lane, layer, score, criteria, method, outcome, severity,
               decision_id
        FROM outcomes WHERE subject = $subject AND lodged_at >= $since AND lodged_at < $until
        ORDER BY lodged_at, item_id
        """,
        needs_subject=True,
    ),
}
