"""The live view of the demo: what a duty officer, a targeteer and an SRE would each look at first, on one screen.

`DemoSnapshot` is everything the screen shows; `screen` draws one, for 80x24 and up. Nothing here talks to Kafka.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

LAYERS = ("mandatory", "criteria", "model", "profile", "anomaly", "surge", "exploration")
LANE_STYLES = {"green": "green", "blue": "blue", "yellow": "yellow", "red": "red"}
LAYER_STYLES = {
    "mandatory": "red",
    "criteria": "magenta",
    "model": "cyan",
    "profile": "blue",
    "anomaly": "yellow",
    "surge": "bright_magenta",
    "exploration": "white",
}
OUTCOME_STYLES = {"seizure": "bold red", "irregularity": "yellow", "clear": "green"}

_SPARKS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"


ENOUGH_FINDS = 5
"""Finds of the random draw from which a rate is told as a ratio to its rate; a ratio to fewer would be chance."""


@dataclass(frozen=True, slots=True)
class LayerRate:
    """What one layer (or all) selected so far, how much of that was inspected, and how often something was found."""

    selected: int = 0
    inspected: int = 0
    seizures: int = 0

    @property
    def seizure_rate(self) -> float:
        """Seizures / inspected, 0 before the first inspection."""
        return self.seizures / self.inspected if self.inspected else 0.0


@dataclass(frozen=True, slots=True)
class AlertLine:
    """One alert as the list shows it; no party's name is on it. `outcome` is None until an officer reports back."""

    control_point: str
    lane: str
    layer: str
    priority: int
    why: str
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class DemoSnapshot:
    """The state of a demo at one moment. Latencies in milliseconds, rates in items per second, shares in [0, 1]."""

    phase: str
    elapsed_s: float
    duration_s: float | None = None
    simulated_now: datetime | None = None
    brokers: str = ""
    lodged: int = 0
    decided: int = 0
    dead_lettered: int = 0
    lodged_per_s: float = 0.0
    decided_per_s: float = 0.0
    in_flight: int = 0
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    alerts: int = 0
    results: int = 0
    coverage: float = 0.0
    capacity_share: float = 0.0
    whole: LayerRate = LayerRate()
    layers: Mapping[str, LayerRate] = field(default_factory=dict)
    model_version: int = -1
    refusals: Mapping[str, int] = field(default_factory=dict)
    last_alerts: Sequence[AlertLine] = ()
    seizure_history: Sequence[float] = ()
    news: str = ""
    console: str = ""


def bar(share: float, width: int) -> str:
    """A bar of `width` cells filled to `share`, in eighths of a cell."""
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values, each as one of eight heights relative to the largest of them."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return _SPARKS[0] * len(shown)
    return "".join(_SPARKS[min(7, int(value / top * 7.999))] for value in shown)


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def plain_line(shot: DemoSnapshot) -> str:
    """The state as one line, for logs."""
    rates = " ".join(f"{name} {rate.seizure_rate:.0%}" for name, rate in shot.layers.items() if rate.inspected)
    return (
        f"{clock(shot.elapsed_s)} {shot.phase}: lodged {shot.lodged:,} ({shot.lodged_per_s:,.0f}/s) "
        f"decided {shot.decided:,} dead letters {shot.dead_lettered:,} in flight {shot.in_flight:,} "
        f"alert p50/p99 {_ms(shot.latency_p50_ms)}/{_ms(shot.latency_p99_ms)} ms "
        f"coverage {shot.coverage:.2%} of {shot.capacity_share:.2%} model version {shot.model_version} "
        f"seizure rate {rates or '-'}"
    )


def screen(shot: DemoSnapshot, width: int, height: int) -> RenderableType:
    """The whole screen for a terminal of `width` x `height` cells."""
    layout = Layout()
    lines = 2 if shot.console else 1
    layout.split_column(
        Layout(_headline(shot), size=lines),
        Layout(name="figures", size=6),
        Layout(name="rates", size=len(LAYERS) + 2),
        Layout(_alerts(shot, width, max(1, height - 6 - len(LAYERS) - 2 - lines - 2)), name="alerts"),
    )
    layout["figures"].split_row(
        Layout(_traffic(shot), ratio=10), Layout(_two_figures(shot, width), ratio=10), Layout(_learning(shot), ratio=8)
    )
    layout["rates"].split_row(Layout(_layers(shot, width), ratio=19), Layout(_dead_letters(shot), ratio=9))
    return layout


def _headline(shot: DemoSnapshot) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(" borderflow ", style="bold white on blue")
    line.append(f" {shot.phase}", style="bold" if shot.phase == "running" else "bold yellow")
    line.append(f"  {clock(shot.elapsed_s)}")
    if shot.duration_s:
        line.append(f" / {clock(shot.duration_s)}", style="dim")
    if shot.simulated_now is not None:
        line.append(f"  at the border {shot.simulated_now:%Y-%m-%d %H:%M}")
    line.append(f"  {shot.news or 'Ctrl-C ends it'}", style="dim")
    if shot.console:
        line.append("\n the officers' page ", style="dim")
        line.append(f" {shot.console}", style="underline")
    return line


def _pairs(*rows: tuple[str, str | Text]) -> Group:
    """Rows with a label on the left and a figure on the right, each with all of the width to itself."""
    return Group(*(_pair(label, figure) for label, figure in rows))


def _pair(label: str, figure: str | Text) -> Table:
    row = Table.grid(expand=True)
    row.add_column(style="dim", no_wrap=True)
    row.add_column(justify="right", no_wrap=True, ratio=1)
    row.add_row(label, figure)
    return row


def _panel(content: RenderableType, title: str, style: str = "bright_black") -> Panel:
    return Panel(content, title=f"[bold]{title}[/]", title_align="left", border_style=style, padding=(0, 1))


def _traffic(shot: DemoSnapshot) -> Panel:
    rows = (
        ("lodged", f"{shot.lodged:,} [dim]{shot.lodged_per_s:,.0f}/s[/]"),
        ("decided", f"{shot.decided:,} [dim]{shot.decided_per_s:,.0f}/s[/]"),
        ("in flight", f"{shot.in_flight:,}"),
        ("alert p50/p99", f"{_ms(shot.latency_p50_ms)}/{_ms(shot.latency_p99_ms)} [dim]ms[/]"),
    )
    return _panel(_pairs(*rows), "traffic")


def _two_figures(shot: DemoSnapshot, width: int) -> Panel:
    cells = max(8, width * 10 // 28 - 6)
    goal = shot.capacity_share or 1.0
    near = abs(shot.coverage / goal - 1) <= 0.1
    rows: list[RenderableType] = [
        _pair("coverage", f"[bold]{shot.coverage:.2%}[/] [dim]of[/] {shot.capacity_share:.2%}"),
        Text(bar(shot.coverage / goal / 1.25, cells), style="green" if near else "yellow", no_wrap=True),
        _pair("seizure rate", f"[bold]{shot.whole.seizure_rate:.1%}[/] [dim]of[/] {shot.whole.inspected:,}"),
        Text(bar(shot.whole.seizure_rate / 0.5, cells), style="red", no_wrap=True),
    ]
    return _panel(Group(*rows), "coverage and seizures", "white")


def _learning(shot: DemoSnapshot) -> Panel:
    drawn = shot.layers.get("exploration", LayerRate())
    model = shot.layers.get("model", LayerRate()).seizure_rate
    gain = f"x{model / drawn.seizure_rate:.1f}" if drawn.seizures >= ENOUGH_FINDS and model else "-"
    rows: tuple[tuple[str, str | Text], ...] = (
        ("model version", f"[bold]{shot.model_version:,}[/]" if shot.model_version >= 0 else "-"),
        ("results in", f"{shot.results:,}"),
        ("over chance", f"[cyan]{gain}[/]"),
        ("rate", Text(sparkline(shot.seizure_history, 16), style="red")),
    )
    return _panel(_pairs(*rows), "learning")


def _layers(shot: DemoSnapshot, width: int) -> Panel:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True, width=11)
    table.add_column(no_wrap=True, ratio=1)
    table.add_column(justify="right", no_wrap=True, width=5)
    table.add_column(justify="right", no_wrap=True, style="dim", width=11)
    cells = max(6, width * 19 // 28 - 38)
    for layer in LAYERS:
        rate = shot.layers.get(layer, LayerRate())
        style = LAYER_STYLES[layer] if rate.selected else "dim"
        table.add_row(
            Text(layer, style=style),
            Text(bar(rate.seizure_rate, cells), style=style),
            f"{rate.seizure_rate:.0%}" if rate.inspected else "",
            f"{rate.seizures:,} of {rate.inspected:,}" if rate.selected else "",
        )
    return _panel(table, "seizure rate by layer")


def _dead_letters(shot: DemoSnapshot) -> Panel:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True, style="bold")
    ranked = sorted(shot.refusals.items(), key=lambda one: (-one[1], one[0]))
    room = len(LAYERS)
    for reason, count in ranked[: room if len(ranked) <= room else room - 1]:
        table.add_row(reason, f"{count:,}")
    if len(ranked) > room:
        table.add_row("[dim]other reasons[/]", f"{sum(count for _, count in ranked[room - 1 :]):,}")
    if not ranked:
        table.add_row("[dim]none[/]", "")
    return _panel(table, f"dead letters {shot.dead_lettered:,}")


def _alerts(shot: DemoSnapshot, width: int, rows: int) -> Panel:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True, width=1)
    table.add_column(no_wrap=True, width=9)
    if width >= 96:
        table.add_column(no_wrap=True, width=11)
    table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    table.add_column(no_wrap=True, justify="right", width=12)
    for alert in list(shot.last_alerts)[:rows]:
        lane = LANE_STYLES.get(alert.lane, "white")
        layer = Text(alert.layer, style=LAYER_STYLES.get(alert.layer, "white"))
        why = Text(alert.why)
        outcome = Text(alert.outcome or "…", style=OUTCOME_STYLES.get(alert.outcome or "", "dim"))
        cells: list[RenderableType] = [Text("■", style=lane), alert.control_point]
        table.add_row(*cells, *([layer] if width >= 96 else []), why, outcome)
    return _panel(table, f"last alerts, of {shot.alerts:,}")
