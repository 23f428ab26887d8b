"""The live view fits its terminal and shows what people look for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from load.demo_view import AlertLine, DemoSnapshot, LayerRate, bar, clock, screen, sparkline

SHOT = DemoSnapshot(
    phase="running",
    elapsed_s=42,
    duration_s=90,
    simulated_now=datetime(2025, 1, 13, 14, 30, tzinfo=UTC),
    lodged=1_234_567,
    decided=1_234_500,
    dead_lettered=61,
    lodged_per_s=4012.0,
    decided_per_s=3998.0,
    in_flight=6,
    latency_p50_ms=31.2,
    latency_p99_ms=1187.0,
    alerts=24_000,
    results=20_000,
    coverage=0.0203,
    capacity_share=0.02,
    whole=LayerRate(318, 290, 65),
    layers={"model": LayerRate(200, 180, 60), "exploration": LayerRate(120, 120, 6)},
    model_version=288,
    refusals={f"reason-with-a-long-name-{n}": n for n in range(1, 12)},
    last_alerts=[AlertLine("KRPUS-SEA", "red", "model", 1, "Consignee first seen 3 hours ago; " * 5, "seizure")] * 40,
    seizure_history=[0.01, 0.1, 0.33],
)


def drawn(shot: DemoSnapshot, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as capture:
        console.print(screen(shot, width, height), height=height)
    return capture.get().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (160, 50)])
def test_the_screen_fits_and_no_figure_is_cut(width: int, height: int) -> None:
    lines = drawn(SHOT, width, height)
    text = "\n".join(lines)
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)
    for figure in (
        "1,234,567 4,012/s",
        "1,234,500 3,998/s",
        "31/1,187 ms",
        "2.03% of 2.00%",
        "60 of 180",
        "22.4% of 290",
        "x6.7",
        "288",
    ):
        assert figure in text, figure


def test_a_ratio_to_a_handful_of_finds_is_not_shown() -> None:
    few = replace(SHOT, layers={**SHOT.layers, "exploration": LayerRate(40, 40, 2)})
    assert "x6.7" not in "\n".join(drawn(few, 100, 30))


def test_the_screen_of_a_demo_that_has_just_begun_is_drawn() -> None:
    text = "\n".join(drawn(DemoSnapshot("starting", 0.0), 80, 24))
    assert "starting" in text
    assert "-/- ms" in text


def test_more_reasons_than_rows_are_summed_up() -> None:
    text = "\n".join(drawn(SHOT, 100, 30))
    assert "dead letters 61" in text
    assert "other reasons" in text


def test_bars_and_sparklines_keep_their_width_and_scale() -> None:
    assert bar(0.0, 8) == " " * 8
    assert bar(1.0, 8) == "█" * 8 == bar(7.0, 8)
    assert bar(0.5, 4).rstrip() == "██"
    assert len(bar(0.33, 11)) == 11
    assert sparkline([], 5) == ""
    assert sparkline([0.0, 0.0], 5) == "▁▁"
    assert sparkline([9.0, 0.0, 1.0, 2.0], 3) == "▁▄█"
    assert clock(61.9) == "1:01"
