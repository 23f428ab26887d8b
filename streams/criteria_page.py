"""Pages of docs/ that are written from the code: the criteria language, and the closed lists of words.

`python -m streams.criteria_page` writes them; a test compares.
"""

from __future__ import annotations

from pathlib import Path

from agents import quality, refusals
from agents.risk import indicators
from agents.risk.criteria_fields import ALL, FIELDS

_LANGUAGE = """\
# Criteria

A targeting criterion is a named, versioned condition over an item, with an action:

- `direct` selects the item at once, to the criterion's `lane`.
- `boost` adds `weight` to the log-odds that rank the item (a negative weight takes away).
- `whitelist` clears the item, whatever its score and its boosts, unless a mandatory hit or another criterion that is
  `direct` selects it. It clears an item with a failed check or a find on record as well; the condition can ask about
  these. A cleared item can still be drawn for the audit sample.

A hit over its [cap](#caps) has no effect: it neither selects nor clears, and does not keep the item from being cleared
as plainly low risk. A `direct` or `boost` hit within its cap does keep it from that.

```yaml
criterion_id: CR-2041
version: 3                     # must rise with every change; at most 2^53 - 1, and not written as 010
title: Phones that weigh next to nothing
streams: [express-cargo]
condition: |
  hs4 == "8517" and gross_mass_kg < 0.05
  and not (origin in ["KR", "JP"] or consignee.inspections > 10)
action: boost
weight: 0.8
cap: 0.01                      # of a control point's items in a day
valid_from: 2026-03-01T00:00:00Z
valid_until: 2026-12-31T15:00:00Z
```

| command | what it does |
|---|---|
| `borderflow criteria check FILE` | reads a file without any broker; warns of what never occurs (`origin == "cn"`) |
| `borderflow criteria publish FILE` | makes it known to every worker within a second; tries it on the archive first |
| `borderflow criteria withdraw ID` | ends a criterion |
| `borderflow criteria list` | shows what is published |
| `borderflow criteria fields` | shows the [fields](#fields) that a condition may ask about |

Where there is an archive (`BORDERFLOW_ARCHIVE_DIR`), `publish` first tries each criterion on its latest 7 days
(`--days`), and refuses one that would fire above its cap at a control point unless `--accept-load` is given.

Dates are event time: a replay of March applies the criteria that were valid in March. A version ends the one before
it as soon as it is published, whatever its dates:

- Leave `valid_from` out of a change: the new version then keeps the date of the one that it replaces. A new criterion
  without it begins a day before it is published, for what was lodged and is not decided yet.
- A version that begins later, while another is in force, is refused, because nothing would be in force until then.
  Publish it when it begins, or under an id of its own, or say `--leave-gap`.
- A `valid_until` without a time is that whole day (UTC).

Every text but the condition is one line: officers read the title in a headline. `title: |` would put line breaks into
it; `>-` folds them away.

## The language

| what | how |
|---|---|
| compare | `value_usd > 150`, `origin == "CN"`, `origin != "CN"`, `<=`, `<`, `>=` |
| one of several | `origin in ["CN", "VN"]`, `origin not in ["KR"]` |
| between, both ends included | `value_usd between 100 and 150`, `lodged_at between "2026-03-01" and "2026-03-08"` |
| beginning of a text | `hs6 startswith "8517"`, `hs6 startswith ["6403", "6404"]` |
| part of a text | `description contains "battery"` (capitals, widths and runs of blanks do not matter) |
| one of several texts | `quality contains "zero-mass"` |
| a flag | `trusted`, `not list_cleared` |
| known or not | `net_mass_kg is missing`, `platform is not missing` |
| together | `and`, `or`, `not`, parentheses; `not` binds first, then `and`, then `or` |

Numbers are plain (`0.05`, `1e6`), texts stand in double or single quotes, and dates are texts: `"2026-03-01"`,
`"2026-03-01T08:00:00Z"`. A date without a time is the whole day, UTC: `<= "2026-03-08"` goes to its end, `>` begins
after it, `==` is any time of it; `"2026-03-08T00:00:00Z"` is midnight. Line breaks and spaces do not matter.

A `description`, and the text that it is compared with, are brought into one form first: lower case, composed characters
of plain width, single blanks, no invisible characters.

**A comparison with an absent value is false**, whatever it asks. So `net_mass_kg < 1` is false for an item that
declares no net mass, and `not (net_mass_kg < 1)` is true for it. Ask `net_mass_kg is missing` where that matters.
`not in`, `not between`, `not startswith` and `not contains` are such negations: `platform not in ["a"]` is true of an
item without a platform, while `platform != "a"` is false of it.

A field that does not exist (in one of the criterion's streams), a value of the wrong type, or anything else that cannot
be read is refused when the criterion is checked or published, with its line and column. No condition can fail or stop
a worker while it runs. [ADR 6](adr/0006-criteria-expressions.md) has the reasons and the measurements.

## Caps

A criterion, a `whitelist` too, may act on at most `cap` of a control point's items in a day (UTC, event time), and on
no more than the policy's `criterion_cap`. A new version goes on with what the day's earlier ones left. Lodgements
that are refused as duplicates count for nothing. Hits over the cap stay on the item, marked `capped`, without effect.

**Which hits act** is decided as they come: a hit acts if the share has room and if it is among the strongest so far (as
many as the share allows). A strong hit is on an item that is unusual, that has a seizure on record, or that the
watchlist or intelligence names. For a `whitelist`, and for a boost of negative weight, it is the other way round.

**How many that makes.** A control point's items are counted in each partition of `screened` apart. When a partition's
part of the share is not a whole number of hits, a draw decides about the last one. So over a day the partitions
together let `cap` of the items act on average, a few hits more or less. A cap of less than one item a day acts on some
days only.

At the first, tenth, hundredth... capped hit of a day, `CriterionSuppressed` is published on `monitoring`. A worker
that starts counts the day's earlier items by the criteria as they stood when each was sent.

## Fields

Nationality, sex and age of travellers are no fields: [security and privacy](security-and-privacy.md).
"""


def criteria_page() -> str:
    """`docs/criteria.md`: the language, and one row for each field."""
    rows = ["| field | type | streams | what it is |", "|---|---|---|---|"]
    for field in FIELDS:
        streams = "all" if field.streams == ALL else ", ".join(field.streams)
        missing = "; may be absent" if field.may_miss else ""
        rows.append(f"| `{field.name}` | {field.type}{missing} | {streams} | {field.meaning} |")
    return _LANGUAGE + "\n" + "\n".join(rows) + "\n"


def words_page() -> str:
    """`docs/refusals-and-indicators.md`: every reason to refuse, every check, every indicator."""
    parts = [
        "# Refusals, checks and indicators",
        "",
        "Closed lists: each word is a value of `reason` in dead letters and metrics, of `quality` or of `indicators`.",
        "This page is written from the code (`python -m streams.criteria_page`); a test compares the two.",
    ]
    for title, text, meanings in (
        ("Refusals", "A record or item that cannot be decided is dead-lettered with one of these.", refusals.MEANINGS),
        ("Checks", "An item with one of these is decided; only a `whitelist` criterion clears it.", quality.MEANINGS),
        ("Indicators", "What filtering notices. None of these selects or clears by itself.", indicators.MEANINGS),
    ):
        parts += ["", f"## {title}", "", text, "", "| word | what it means |", "|---|---|"]
        parts += [f"| `{word}` | {meaning} |" for word, meaning in meanings.items()]
    return "\n".join(parts) + "\n"


PAGES = {"docs/criteria.md": criteria_page, "docs/refusals-and-indicators.md": words_page}


if __name__ == "__main__":
    for path, page in PAGES.items():
        Path(path).write_text(page(), encoding="utf-8")
