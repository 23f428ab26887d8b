"""The report of a simulation as a page and as JSON."""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Final

import msgspec

from streams.reports import page, plots
from streams.simulate.estimate import Estimate, Figure
from streams.simulate.findings import Assessed, Projected, Simulated

METHOD: Final = (
    "Only inspected items have an outcome. An item that the policy of the time selected by any layer but exploration "
    "was inspected for certain; every other item only if the audit draw fell on it, with the recorded probability. A "
    "drawn item therefore speaks for one over that probability of items (Horvitz and Thompson 1952; for logged "
    "decisions Swaminathan and Joachims 2015).",
    "The expected figures count what can be counted: the number of items in each group is known, and so are the "
    "outcomes of those that both policies select. Only the rate among the newly selected is estimated, self-normalised "
    "(Hajek 1971).",
    "Intervals are at 95%: Clopper-Pearson at the effective number of draws with a finite-population correction (Korn "
    "and Graubard 1998; Kish 1965), put together over groups after Zou and Donner (2008). They hold with few draws, "
    "which normal intervals do not; those of plain inverse propensities are shown for comparison only.",
    "Missing results are taken to be like the others of their group.",
)


def write_report(found: Simulated, folder: Path, title: str = "Simulation of a selection policy") -> list[Path]:
    """Write report.html and report.json. Raises `OSError`, or `CommandRefusedError` without matplotlib."""
    html, data = folder / "report.html", folder / "report.json"
    page.write_whole(html, report(found, title).encode())
    page.write_whole(data, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    return [html, data]


def report(found: Simulated, title: str) -> str:
    """The page."""
    first, base = found.candidates[0], found.candidates[-1]
    parts = [
        page.figures((
            (f"{first.coverage:.2%}", f"coverage of the candidate; {base.name} {base.coverage:.2%}"),
            (_span(first.estimate), f"expected seizure rate, 95%; {base.name} {_span(base.estimate)}"),
            (f"{first.unknown_share:.1%}", "of what the candidate selects has no known outcome"),
            (f"{first.known:,}", f"of its {first.selected:,} items have one; {first.seizures_known:,} seizures"),
        )),
        page.section("Read this first", page.points(found.cautions)),
        page.section("Policies side by side", _comparison(found), page.plot(_rates(found), (
            "Expected seizure rate with its 95% interval, and what was selected by whether its outcome is known."))),
    ]  # fmt: skip
    if found.swept is not None:
        parts.append(page.section(f"Frontier: {found.swept}", page.plot(_frontier(found), (
            "Coverage against expected seizures for each value of the setting, with 95% intervals; the line joins the "
            "estimates. Filled dots: seizures already known among what would be selected, a lower bound.")))
        )  # fmt: skip
    if found.criteria:
        parts.append(_criteria(found))
    parts += [
        page.section("Where and by which layer", page.plot(_groups(first, base), (
            f"Selected items by layer and by control point, {first.name} and {base.name}.")),
            _by_control_point(first, base)),
        page.section("Day by day", page.plot(_days(first, base), "Coverage by day of lodgement.")),
        page.section("How the outcomes were estimated", page.points(METHOD), _strata(first), _plain(found)),
        page.section("What was run", page.code(found.command), page.facts(_provenance(found))),
    ]  # fmt: skip
    span = f"{found.items:,} items lodged from {found.since[:16]} to {found.until[:16]} UTC, {found.archive}"
    return page.page(title, span, parts)


def _comparison(found: Simulated) -> str:
    head = ("policy", "coverage", "selected", "selected then", "known", "seizures", "unknown", "expected seizures",
            "expected seizure rate")  # fmt: skip
    rows: list[tuple[object, ...]] = []
    for one in found.candidates:
        made = one.estimate
        rows.append((
            one.name, f"{one.coverage:.2%}", one.selected, one.shared, one.known, one.seizures_known,
            f"{one.unknown_share:.1%}", made.seizures.said(",.0f"), made.seizure_rate.said(".1%"),
        ))  # fmt: skip
    recorded = found.recorded
    rows.append((
        "as recorded", f"{recorded.coverage:.2%}", recorded.selected, recorded.selected, recorded.inspected,
        recorded.seizures, f"{1 - recorded.inspected / recorded.selected:.1%}" if recorded.selected else None, None,
        None if recorded.seizure_rate is None else f"{recorded.seizure_rate:.1%} of those inspected",
    ))  # fmt: skip
    audit = recorded.audit_rate
    said = (
        f"The audit sample, drawn by chance from all traffic: {recorded.audit_inspected:,} inspected, "
        f"{recorded.audit_seizures:,} seizures; with each weighted by one over its probability, worth "
        f"{recorded.audit_effective:,.0f} equal draws, {audit.said('.2%')} of all items."
    )
    meaning = (
        "Coverage: selected of all items. Selected then: by the policy that ran, too. Known: selected items whose "
        "outcome is recorded, and the seizures among them. Expected figures come with their 95% intervals."
    )
    return page.table(head, rows, own=0) + page.text(meaning, soft=True) + page.text(said)


def _rates(found: Simulated) -> str:
    made, (left, right) = plots.figure(2, 1.4 + 0.34 * len(found.candidates))
    names = [one.name for one in found.candidates][::-1]
    for place, one in enumerate(found.candidates[::-1]):
        rate = one.estimate.seizure_rate
        color = plots.OWN if one is found.candidates[0] else plots.OTHER
        at, below, above, mark = _bar(rate)
        left.errorbar(at, place, xerr=[[below], [above]], fmt=mark, color=color, capsize=3)
        right.barh(place, one.known, color=plots.KNOWN, height=0.6, label="outcome known" if place == 0 else None)
        right.barh(place, one.selected - one.known, left=one.known, color=plots.UNKNOWN, height=0.6,
                   label="outcome unknown" if place == 0 else None)  # fmt: skip
    left.set(title="expected seizure rate", yticks=range(len(names)), yticklabels=names, ylim=(-0.6, len(names) - 0.4))
    left.set_xlim(left=0)
    plots.percent(left.xaxis)
    right.set(title="selected items", yticks=range(len(names)), yticklabels=[""] * len(names),
              ylim=(-0.6, len(names) - 0.4))  # fmt: skip
    right.legend(loc="lower right", fontsize=8, facecolor="white", framealpha=0.9, frameon=True)
    return plots.svg(made, "rates")


def _frontier(found: Simulated) -> str:
    swept = sorted((one for one in found.candidates if one.value is not None), key=lambda one: one.coverage)
    base = found.candidates[-1]
    made, (axes, rates) = plots.figure(2, 3.8)
    for one, color in [*((one, plots.OWN) for one in swept), (base, plots.OTHER)]:
        for panel, figure in ((axes, one.estimate.seizures), (rates, one.estimate.seizure_rate)):
            at, below, above, mark = _bar(figure)
            panel.errorbar(one.coverage, at, yerr=[[below], [above]], fmt=mark, mfc="white", color=color, capsize=3)
        axes.plot(one.coverage, one.seizures_known, "o", color=color, markersize=4)
        if one.value is None:  # may stand where a swept one does: it is named at the top
            axes.annotate(one.name, (one.coverage, 1.0), xycoords=("data", "axes fraction"), xytext=(0, -11),
                          textcoords="offset points", ha="center", fontsize=8, color=color)  # fmt: skip
        else:
            axes.annotate(f"{one.value:g}", (one.coverage, _bar(one.estimate.seizures)[0]), xytext=(6, 5),
                          textcoords="offset points", fontsize=8, color=color)  # fmt: skip
    axes.plot([o.coverage for o in swept], [o.estimate.seizures.value for o in swept], color=plots.OWN, linewidth=1)
    rates.plot(
        [o.coverage for o in swept], [o.estimate.seizure_rate.value for o in swept], color=plots.OWN, linewidth=1
    )
    axes.set(title="expected seizures", xlabel="coverage")
    rates.set(title="expected seizure rate", xlabel="coverage")
    for panel in (axes, rates):
        panel.set_xlim(left=0)
        panel.set_ylim(bottom=0)
        plots.percent(panel.xaxis)
    plots.percent(rates.yaxis)
    return plots.svg(made, "frontier")


def _groups(first: Assessed, base: Assessed) -> str:
    made, panels = plots.figure(2, 3.6)
    for panel, groups in zip(panels, ("by_layer", "by_control_point"), strict=True):
        title = groups.replace("_", " ")
        held = [{one.name: one.selected for one in getattr(side, groups)} for side in (first, base)]
        names = sorted(set(held[0]) | set(held[1]))[::-1]
        for shift, counts, side, color in ((0.2, held[0], first, plots.OWN), (-0.2, held[1], base, plots.OTHER)):
            panel.barh([n + shift for n in range(len(names))], [counts.get(name, 0) for name in names], height=0.36,
                       color=color, label=side.name)  # fmt: skip
        panel.set(title=f"selected {title}", yticks=range(len(names)), yticklabels=names)
    panels[0].legend(fontsize=8)
    return plots.svg(made, "groups")


def _days(first: Assessed, base: Assessed) -> str:
    made, (axes,) = plots.figure(1, 2.6)
    days = sorted({one.name for side in (first, base) for one in side.by_day})  # one side may have days of its own
    for side, color in ((base, plots.OTHER), (first, plots.OWN)):
        held = {one.name: one.selected / one.items for one in side.by_day}
        axes.plot(range(len(days)), [held.get(day, nan) for day in days], color=color, label=side.name,
                  marker="." if len(days) < 40 else None)  # fmt: skip
    plots.days(axes, days)
    axes.set(title="coverage", ylim=(0, None))
    plots.percent(axes.yaxis)
    axes.legend(fontsize=8)
    return plots.svg(made, "days")


def _by_control_point(first: Assessed, base: Assessed) -> str:
    then = {one.name: one for one in base.by_control_point}
    rows: list[tuple[object, ...]] = [
        (one.name, one.items, one.selected, f"{one.selected / one.items:.2%}",
         then[one.name].selected if one.name in then else None, one.known, one.seizures,
         "-" if one.estimate is None else one.estimate.said(".1%"))
        for one in first.by_control_point
    ]  # fmt: skip
    left_out = then.keys() - {one.name for one in first.by_control_point}
    rows += [(name, *[None] * 3, then[name].selected, *[None] * 3) for name in sorted(left_out)]
    head = ("control point", "items", "selected", "coverage", f"selected by {base.name}", "outcome known",
            "seizures known", "expected seizure rate")  # fmt: skip
    return page.table(head, rows)


def _criteria(found: Simulated) -> str:
    rows = []
    for one in found.criteria:
        rate = one.hit_rate
        rows.append((
            one.criterion_id, one.version, one.action, one.hits, f"{one.hits_per_day:,.1f}", f"{one.share:.2%}",
            f"{one.cap:.2%}", f"{one.worst} ({one.worst_share:.2%})", one.capped, one.selected_already, one.known,
            one.seizures, None if rate is None else rate.seizure_rate.said(".1%"),
        ))  # fmt: skip
    head = ("criterion", "version", "action", "hits", "hits a day", "share of items", "cap", "most at", "over its cap",
            "selected then", "outcome known", "seizures known", "expected hit rate")  # fmt: skip
    parts = [page.table(head, rows)]
    for one in found.criteria:
        points = [each for each in one.by_control_point if each.selected]
        if points:
            parts += [page.plot(_hits(one, found), f"{one.criterion_id}: hits a day by control point, and how many "
                                "of them its cap lets act.")]  # fmt: skip
        if one.overlaps:
            said = ", ".join(f"{other.criterion_id} ({other.share:.0%} of its hits)" for other in one.overlaps)
            parts.append(page.text(f"{one.criterion_id} overlaps with {said}."))
    return page.section("Criteria, before they are in force", *parts)


def _hits(one: Projected, found: Simulated) -> str:
    made, (axes,) = plots.figure(1, 2.6)
    days = max(1, len(found.candidates[0].by_day))
    points = [each for each in one.by_control_point if each.selected][::-1]
    names = [each.name for each in points]
    within = [each.known / days for each in points]
    axes.barh(names, within, color=plots.OWN, label="within the cap")
    axes.barh(names, [(each.selected - each.known) / days for each in points], left=within,
              color=plots.UNKNOWN, label="over the cap: kept without effect")  # fmt: skip
    axes.set(title=f"{one.criterion_id}: hits a day")
    axes.legend(fontsize=8)
    return plots.svg(made, f"hits-{one.criterion_id}")


def _strata(one: Assessed) -> str:
    words = {
        "shared": "both policies select them", "new": "only this one does", "audit": "its own draw",
        "audit, inspected anyway": "its own draw, on items inspected then", "never decided": "no draw reached them",
    }  # fmt: skip
    rows = [(f"{each.name}: {words.get(each.name, '')}", f"{each.items:,.1f}", each.observed, each.seizures,
             f"{each.effective:,.1f}", each.rate.said(".1%")) for each in one.estimate.strata]  # fmt: skip
    head = (f"group of {one.name}", "items", "outcomes", "seizures", "worth so many draws", "seizure rate")
    return page.table(head, rows)


def _plain(found: Simulated) -> str:
    rows = [
        (one.name, one.estimate.seizure_rate.said(".1%"), one.estimate.horvitz_thompson.said(".1%"),
         one.estimate.self_normalised.said(".1%"))
        for one in found.candidates
    ]  # fmt: skip
    head = ("policy", "seizure rate by groups (used above)", "inverse propensity, normal interval",
            "self-normalised, normal interval")  # fmt: skip
    return page.table(head, rows)


def _provenance(found: Simulated) -> list[tuple[str, str]]:
    rows = [
        ("lodged", f"{found.since} to {found.until}"), ("recorded states from", found.warm_since),
        ("models", found.model), ("archive", found.archive),
        ("policies that ran", ", ".join(found.recorded.policies)),
    ]  # fmt: skip
    rows += [(one.name, one.policy) for one in found.candidates]
    return rows + sorted(found.software.items())


def _span(made: Estimate) -> str:
    figure = made.seizure_rate
    if figure.of_nothing:
        return "-"
    return f"{figure.low:.1%} to {figure.high:.1%}"


def _bar(figure: Figure) -> tuple[float, float, float, str]:
    """Where an interval's bar stands, how far it reaches below and above, and its mark: none without a value."""
    if figure.value is None:
        middle = (figure.low + figure.high) / 2
        return middle, middle - figure.low, figure.high - middle, "none"
    return figure.value, figure.value - figure.low, figure.high - figure.value, "o"
