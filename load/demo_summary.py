"""What a demo ends with: a verdict in plain words, a table for people and a file for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from load.demo_view import ENOUGH_FINDS, LAYER_STYLES, LAYERS, bar
from load.ledger import selection_faults


def failures(summary: Mapping[str, Any]) -> list[str]:
    """What is wrong with the account, in sentences; empty when every item has one end, and an alert if selected."""
    said = []
    if summary["missing"]:
        said.append(f"{summary['missing']:,} lodged items have neither a decision nor a dead letter")
    if summary["doubled"]:
        said.append(f"{summary['doubled']:,} items were decided more than once, or decided and refused")
    if summary["strays"]:
        said.append(f"{summary['strays']:,} decisions, alerts or dead letters are on what was not lodged here")
    said += selection_faults(summary)
    if summary["send_failures"]:
        said.append(f"{summary['send_failures']:,} items could not be lodged: the brokers did not acknowledge them")
    return said


def sentence(summary: Mapping[str, Any]) -> str:
    """The run in one sentence."""
    wrong = failures(summary)
    if wrong:
        return "Not every item is accounted for: " + "; ".join(wrong) + "."
    ended = (
        f"All {summary['lodged']:,} items ended in one decision or one dead letter; {summary['coverage']:.1%} were "
        "selected (after the warm-up), and "
    )
    if not summary["inspected_by_layer"].get("model"):
        return f"{ended}officers had reported on nothing yet that the model chose."
    rates = summary["seizure_rate"]
    model, chance = rates.get("model", 0.0), rates.get("exploration", 0.0)
    drawn = summary["inspected_by_layer"].get("exploration", 0)
    finds = round(chance * drawn)
    if finds >= ENOUGH_FINDS:
        against = f", {model / chance:.1f} times as many as of a random draw"
    else:
        against = f"; of a random draw, {finds} of {drawn:,}" if drawn else ""
    return f"{ended}of those that the model chose and officers inspected {model:.0%} were seizures{against}."


def report(summary: Mapping[str, Any]) -> RenderableType:
    """The summary for a terminal."""
    latency = summary["latency_ms"]
    account = _figures(
        ("lodged", f"{summary['lodged']:,}"),
        ("decided", f"{summary['decided']:,}"),
        ("dead letters", f"{summary['dead_lettered']:,}"),
        ("missing", _zero_is_good(summary["missing"])),
        ("doubled", _zero_is_good(summary["doubled"])),
        ("redeliveries dropped", f"{summary['doubled_raw']:,}"),
        ("results refused", f"{sum(summary['results_refused_by_reason'].values()):,}"),
    )
    pace = _figures(
        ("items per second", f"{summary['items_per_second']:,.0f}"),
        ("event to alert p50", _ms(latency["p50"])),
        ("event to alert p99", _ms(latency["p99"])),
        ("worker time per item", f"{summary['worker_us_per_item']:,.0f} us"),
        ("model version", f"{summary['model_version']:,}"),
        ("alerts", f"{summary['alerts']:,}"),
        ("inspected", f"{summary['inspected']:,}"),
    )
    rows: list[RenderableType] = [
        Text(sentence(summary), style="bold red" if failures(summary) else "bold green"),
        Text(),
        _beside(account, pace),
        Text(),
        _figures(
            (
                "inspection coverage",
                f"{summary['coverage']:.2%} of all items; capacity is {summary['capacity_share']:.2%}",
            )
        ),
        Text(),
        _by_layer(summary),
    ]
    if summary["dead_letters_by_reason"]:
        reasons = ", ".join(
            f"{reason} {count:,}"
            for reason, count in sorted(summary["dead_letters_by_reason"].items(), key=lambda one: (-one[1], one[0]))
        )
        rows += [Text(), Text.assemble(("dead letters: ", "dim"), reasons)]
    return Panel(Group(*rows), title="[bold]what happened[/]", title_align="left", padding=(1, 2))


def print_report(summary: Mapping[str, Any], console: Console) -> None:
    """Write the report where the user looks."""
    console.print(report(summary))


def _by_layer(summary: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("layer")
    for name in ("selected", "inspected", "seizure rate"):
        table.add_column(name, justify="right")
    table.add_column("")
    table.add_column("after warm-up", justify="right")
    later = summary["seizure_rate_after_warm_up"]
    for layer in LAYERS:
        if layer in summary["seizure_rate"]:
            rate = summary["seizure_rate"][layer]
            table.add_row(
                Text(layer, style=LAYER_STYLES[layer]),
                f"{summary['selected_by_layer'][layer]:,}",
                f"{summary['inspected_by_layer'][layer]:,}",
                f"{rate:.1%}",
                Text(bar(rate, 24), style=LAYER_STYLES[layer]),
                f"{later[layer]:.1%}" if layer in later else "-",
            )
    return table


def _figures(*rows: tuple[str, str | Text]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _beside(left: RenderableType, right: RenderableType) -> Table:
    table = Table.grid(padding=(0, 6))
    table.add_row(left, right)
    return table


def _zero_is_good(count: int) -> Text:
    return Text(f"{count:,}", style="bold red" if count else "bold green")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
