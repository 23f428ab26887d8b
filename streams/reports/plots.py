"""Plots as SVG text, the same every time. matplotlib is in the extra `reports`; `make install` has it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from math import ceil
from typing import Any, Final

from streams.commands import CommandRefusedError

OWN: Final = "#0b6e8a"
OTHER: Final = "#8a9aa6"
KNOWN: Final = "#0b6e8a"
UNKNOWN: Final = "#d9a441"
FOUND: Final = "#a3324b"


def refuse_missing() -> None:
    """Raise `CommandRefusedError` without matplotlib: before the work, which may take hours."""
    if find_spec("matplotlib") is None:
        raise CommandRefusedError("reports draw with matplotlib: pip install 'borderflow[reports]'")


def figure(panels: int = 1, height: float = 3.4) -> tuple[Any, list[Any]]:
    """A figure and its axes, side by side. Raises `CommandRefusedError` without matplotlib."""
    refuse_missing()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.hashsalt": "borderflow", "svg.fonttype": "none", "font.size": 9, "axes.titlesize": 10,
        "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": "#8a9aa6", "axes.grid": True, "grid.color": "#e3e9ed", "axes.axisbelow": True,
        "font.family": "sans-serif", "legend.frameon": False,
    }  # fmt: skip
    with mpl.rc_context(style):
        made = Figure(figsize=(10, height), layout="constrained")
        axes = made.subplots(1, panels, squeeze=False)
    return made, list(axes[0])


def svg(made: Any, name: str) -> str:
    """The figure as text; `name` keeps the ids of several plots on one page apart."""
    import matplotlib as mpl

    drawn = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        made.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    text = drawn.getvalue()
    return text[text.index("<svg") :]


def percent(axis: Any) -> None:
    """Label an axis in per cent."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0))


def days(axes: Any, names: Sequence[str]) -> None:
    """Name days on the x axis, where day n stands at n: eight at most, that no name covers the next."""
    every = max(1, ceil(len(names) / 8))
    axes.set_xticks(range(0, len(names), every), names[::every])
