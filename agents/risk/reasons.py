"""Why an item scored as it did, in words an officer understands.

The model is additive, so the score in log-odds is exactly the sum of what each feature contributed. The weightiest
contributions are put into words, and all the rest stands in one last line, so that the weights always sum to the
log-odds. A reason says what contributed to the score, not what caused it.
"""

from __future__ import annotations

from collections.abc import Callable

from agents.risk.reason_words import category_words, quantity_words, record_words, shown_record
from agents.risk.usual import UsualValue
from schemas.decisions import Reason
from schemas.items import ItemFiltered

REMAINDER = "remainder"
TEXT_LENGTH = 512

Counts = Callable[[str], tuple[float, float]]
"""Decayed (positives, negatives) of a category."""


def put_into_words(
    contributions: dict[str, float],
    log_odds: float,
    filtered: ItemFiltered,
    counts: Counts,
    usual: UsualValue,
    limit: int,
) -> tuple[Reason, ...]:
    """At most `limit` reasons, weightiest first, the remainder last; their weights sum to `log_odds`.

    `contributions` are log-odds by what they are about. Things that speak for the item (negative) stay in the
    remainder: an officer asks why it was chosen. So does what would say the same words again, and a category in which
    inspections found nothing: whatever its weight, "no find in 3 inspections" sends nobody.
    """
    ranked = [(-weight, about) for about, weight in contributions.items() if weight > 0.0]
    ranked.sort()
    reasons: list[Reason] = []
    said: list[str] = []
    told = 0.0
    for against, about in ranked:
        if len(reasons) >= limit - 1:
            break
        if "=" in about:
            positives, negatives = counts(about)
            finds, inspected = shown_record(positives, positives + negatives)
            if inspected and not finds:
                continue
            text = category_words(about) + record_words(finds, inspected)
        else:
            text = quantity_words(about, filtered, usual)
        if text in said:
            continue
        said.append(text)
        sentence = (text[:1].upper() + text[1:])[:TEXT_LENGTH]
        reasons.append(Reason(code=about.partition("=")[0][:32], text=sentence, weight=-against))
        told -= against
    reasons.append(
        Reason(code=REMAINDER, text="Everything else about the item, and the base rate", weight=log_odds - told)
    )
    return tuple(reasons)
