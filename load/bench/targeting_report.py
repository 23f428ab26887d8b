"""The table for the terminal and the self-contained HTML report: plots as SVG inside, nothing loaded from anywhere."""

from __future__ import annotations

import io
from html import escape
from typing import Any

from rich.table import Table

CDD_COLUMNS = ("view", "strategy", "rate", "precision_all", "precision_last13", "se_last13", "recall_last13",
               "norm_precision_last13", "score_us", "learn_us")  # fmt: skip
# The first eight columns of the world are the keys of its rows.
WORLD_COLUMNS = ("seed", "strategy", "kind", "coverage", "seizure_rate", "oracle_share", "never_found",
                 "days_to_third_hit", "score_us", "learn_us")  # fmt: skip

PLAIN_WORDS = (
    "The Customs Declaration Dataset is synthetic, and its labels repeat with the exact declaration (heading, "
    "departure, origin, tax rate, tax type, net mass). Whoever remembers shines on the full view. The view "
    "unseen-tuple, with one row of each declaration, shows what is left when nothing can be remembered: little, for "
    "every learner."
)


SHORT = {
    "precision_all": "prec.", "precision_last13": "prec. 13", "se_last13": "s.e. 13", "recall_last13": "recall 13",
    "norm_precision_last13": "norm 13", "seizure_rate": "seizures", "oracle_share": "of oracle",
    "never_found": "not found", "days_to_third_hit": "days", "coverage": "cover",
}  # fmt: skip
"""Headings narrow enough for a terminal; `13` is the mean over the last 13 weeks."""


def table(rows: list[dict[str, Any]], columns: tuple[str, ...], title: str) -> Table:
    """Rows as a table for the terminal."""
    shown = Table(title=title, box=None, pad_edge=False, header_style="dim")
    for column in columns:
        words = column in ("view", "strategy")
        heading = SHORT.get(column, column.replace("_", " "))
        shown.add_column(heading, justify="left" if words else "right", no_wrap=True)
    for one in rows:
        shown.add_row(*[_text(one.get(column)) for column in columns])
    return shown


def html(
    cdd: list[dict[str, Any]],
    series: list[dict[str, Any]],
    world: list[dict[str, Any]],
    bands: list[tuple[float, float, int]],
) -> str:
    """The report. `series` goes with the rows of the data set; `bands` are (mean score, share of finds, inspections)
    of borderflow's inspections in the worlds."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Targeting benchmark</title>",
        "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b2733}"
        "table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}"
        "td,th{padding:.25rem .6rem;border-bottom:1px solid #d5dce2;text-align:right}"
        "td:nth-child(-n+2){text-align:left}"
        "svg{max-width:100%;height:auto}.own{background:#eaf4ee}</style><h1>Targeting benchmark</h1>",
    ]
    if cdd:
        parts += [f"<h2>Customs Declaration Dataset</h2><p>{escape(PLAIN_WORDS)}</p>"]
        draws = {(one["view"], one["strategy"]): one["draws"] for one in series}
        for view in dict.fromkeys(one["view"] for one in series):
            parts += [_weeks_plot(series, view)]
        parts += [_coverage_plot(series)]
        own = [one for one in series if one["strategy"] == "borderflow" and one["bands"]]
        if own:
            best = max(own, key=lambda one: (one["view"] == "full", one["rate"]))
            parts += [_reliability_plot(best["bands"], f"{best['view']}, {best['rate']:.0%}")]
        parts += [_cost_plot(cdd)]
        shown = [{**one, "draws": draws.get((one["view"], one["strategy"]))} for one in cdd]
        parts += [_html_table(shown, (*CDD_COLUMNS, "draws"))]
    if world:
        parts += ["<h2>Drifting world</h2>", _world_plot(world)]
        if bands:
            parts.append(_reliability_plot(bands, "drifting world"))
        parts += [_cost_plot([one for one in world if ":" not in one["kind"]]), _html_table(world, WORLD_COLUMNS)]
    return "\n".join(parts) + "</html>\n"


def _weeks_plot(series: list[dict[str, Any]], view: str) -> str:
    figure, axes = _figure(2)
    shown = [one for one in series if one["view"] == view]
    rate = max(one["rate"] for one in shown)
    for one in shown:
        if one["rate"] == rate:
            own = one["strategy"] == "borderflow"
            for place, what in enumerate(("precision", "recall")):
                line = one[what]
                smooth = [sum(line[max(0, i - 3) : i + 1]) / min(i + 1, 4) for i in range(len(line))]
                axes[place].plot(smooth, label=one["strategy"], linewidth=2.4 if own else 1.0, zorder=3 if own else 2)
    for place, what in enumerate(("precision", "recall")):
        axes[place].set(title=f"{view}: {what} at {rate:.0%} by week (mean of 4)", xlabel="week", ylim=(0, None))
    axes[0].legend(fontsize=7, ncol=2)
    return _svg(figure)


def _coverage_plot(series: list[dict[str, Any]]) -> str:
    figure, axes = _figure(1)
    for one in series:
        if one["strategy"] == "borderflow":
            axes[0].plot([100.0 * c for c in one["coverage"]], label=f"{one['view']} {one['rate']:.0%}", linewidth=1.0)
    axes[0].set(title="inspection coverage of borderflow by week, %", xlabel="week", ylim=(0, None))
    axes[0].legend(fontsize=7, ncol=3)
    return _svg(figure)


def _cost_plot(rows: list[dict[str, Any]]) -> str:
    figure, axes = _figure(2)
    names = list(dict.fromkeys(one["strategy"] for one in rows))
    for place, (column, what) in enumerate((("score_us", "score"), ("learn_us", "learn"))):
        values = [[one[column] for one in rows if one["strategy"] == name] for name in names]
        axes[place].barh(names, [max(sum(held) / len(held), 0.1) for held in values], color="#31688e")
        axes[place].set(title=f"microseconds to {what} an item", xscale="log")
    return _svg(figure)


def _world_plot(rows: list[dict[str, Any]]) -> str:
    kinds = [kind for kind in dict.fromkeys(one["kind"] for one in rows) if ":" not in kind]
    figure, axes = _figure(1 + len(kinds))
    names = list(dict.fromkeys(one["strategy"] for one in rows))
    colors = ("#31688e", "#b5367a", "#35b779")
    for number, kind in enumerate(kinds):
        of_kind = [one for one in rows if one["kind"] == kind]
        shares = [[o["oracle_share"] or 0.0 for o in of_kind if o["strategy"] == name] for name in names]
        axes[0].barh(
            [i + 0.25 * (number - 1) for i in range(len(names))],
            [sum(share) / len(share) if share else 0.0 for share in shares],
            height=0.22,
            color=colors[number],
            label=kind,
        )
        for name in names:
            quarters = [one["quarters"] for one in of_kind if one["strategy"] == name]
            if quarters:
                line = [sum((q[i] or 0.0) for q in quarters) / len(quarters) for i in range(4)]
                axes[1 + number].plot(range(1, 5), line, label=name, linewidth=2.4 if name == "borderflow" else 1.0)
        axes[1 + number].set(title=f"seizure rate by quarter, {kind}", xlabel="quarter", xticks=range(1, 5))
    axes[0].set(title="oracle share", yticks=range(len(names)), yticklabels=names)
    axes[0].legend(fontsize=7)
    axes[1].legend(fontsize=7)
    return _svg(figure)


def _reliability_plot(bands: list[tuple[float, float, int]], where: str) -> str:
    figure, axes = _figure(1)
    axes[0].plot([0, 1], [0, 1], color="#999999", linewidth=1)
    axes[0].scatter(
        [b[0] for b in bands], [b[1] for b in bands], s=[min(10 + b[2] / 5, 300) for b in bands], color="#31688e"
    )
    axes[0].set(
        title=f"reliability of borderflow's score, inspected items ({where})", xlabel="score", ylabel="share of finds"
    )
    return _svg(figure)


def _figure(panels: int) -> Any:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "borderflow"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, panels, figsize=(10, 3.8), layout="constrained", squeeze=False)
    return figure, list(axes[0])


def _svg(figure: Any) -> str:
    from matplotlib import pyplot

    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    text = drawn.getvalue()
    return text[text.index("<svg") :]


def _html_table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    head = "".join(f"<th>{escape(column.replace('_', ' '))}</th>" for column in columns)
    body = "".join(
        f"<tr{' class=own' if one['strategy'] == 'borderflow' else ''}>"
        + "".join(f"<td>{escape(_text(one.get(column)))}</td>" for column in columns)
        + "</tr>"
        for one in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
    return str(value)
