"""Pictures of the Grafana boards without Grafana: `python -m tests.boards [FOLDER]` (docs/images).

Runs `borderflow demo`, Prometheus itself with the project's rules on its workers, and draws every panel of
`ops/grafana/dashboards` from what Prometheus answers to the panel's own queries. Ends with 1 when a query is refused,
and names panels without data. Grafana draws more nicely; what is asked and what is there is the same.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import matplotlib.pyplot as plt
import yaml

from load.children import COMMAND
from streams.embedded import free_loopback_port

ROOT = Path(__file__).parents[1]
BOARDS = ROOT / "ops" / "grafana" / "dashboards"
RUN_S = 240
"""So long the demo runs: windows of Prometheus fill."""
UNITS = {"s": (1.0, " s"), "percentunit": (100.0, " %"), "bytes": (1e-6, " MB"), "cps": (1.0, "/s")}


def main(folder: Path) -> None:
    """Draw all boards."""
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        sys.exit("no Prometheus on this machine: apt-get install prometheus")
    command = [*COMMAND, "demo", "--no-console", "--rate", "300", "--duration", str(RUN_S)]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        targets = workers(demo.pid)
        with tempfile.TemporaryDirectory() as work:
            url, server = serve(prometheus, Path(work), targets)
            try:
                time.sleep(RUN_S - 40)
                wrong = [line for board in sorted(BOARDS.glob("*.json")) for line in draw(board, url, folder)]
            finally:
                server.terminate()
                server.wait()
    finally:
        demo.terminate()
        demo.wait()
    for line in wrong:
        print(line)  # noqa: T201 - a program for the terminal
    if any("refused" in line for line in wrong):
        sys.exit(1)


def workers(demo: int, within_s: float = 60.0) -> list[str]:
    """Where the demo's workers serve metrics, as their environment says."""
    until = time.monotonic() + within_s
    found: list[str] = []
    while not found:
        if time.monotonic() > until:
            sys.exit("the demo started no worker")
        time.sleep(1)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                held = dict(one.partition("=")[::2] for one in (process / "environ").read_text().split("\0"))
            except OSError:
                continue
            if parent == demo and "BORDERFLOW_WEB_PORT" in held:
                found.append(f"127.0.0.1:{held['BORDERFLOW_WEB_PORT']}")
    return sorted(found)


def serve(prometheus: str, work: Path, targets: list[str]) -> tuple[str, subprocess.Popen[bytes]]:
    """Prometheus over these targets with the project's own configuration; its address."""
    said = yaml.safe_load((ROOT / "ops" / "prometheus" / "prometheus.yml").read_text())
    said["rule_files"] = [str(ROOT / "ops" / "prometheus" / name) for name in said["rule_files"]]
    said["scrape_configs"] = [{"job_name": "borderflow", "static_configs": [{"targets": targets}]}]
    (work / "prometheus.yml").write_text(yaml.safe_dump(said))
    port = free_loopback_port()
    server = subprocess.Popen(
        [prometheus, f"--config.file={work / 'prometheus.yml'}", f"--storage.tsdb.path={work / 'data'}",
         f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"],
    )  # fmt: skip
    return f"http://127.0.0.1:{port}", server


def asked(url: str, kind: str, **parameters: Any) -> list[dict[str, Any]]:
    """What Prometheus answers. Raises `HTTPError`."""
    with urlopen(f"{url}/api/v1/{kind}?{urlencode(parameters)}", timeout=20) as answer:  # noqa: S310 - ours, on loopback
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found


def draw(board: Path, url: str, folder: Path) -> list[str]:
    """Draw one board; a line for each panel that has no data or whose query is refused."""
    described = json.loads(board.read_text())
    panels = [panel for panel in described["panels"] if panel["type"] != "row"]
    last = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in described["panels"])
    figure = plt.figure(figsize=(15, last * 0.36), facecolor="#f4f5f7", layout="constrained")
    figure.suptitle(described["title"], x=0.01, ha="left", weight="bold")
    grid = figure.add_gridspec(last, 24)
    wrong = []
    for panel in panels:
        at = panel["gridPos"]
        axes = figure.add_subplot(grid[at["y"] : at["y"] + at["h"], at["x"] : at["x"] + at["w"]])
        axes.set_title(panel["title"], fontsize=8, loc="left", weight="bold")
        axes.tick_params(labelsize=6)
        try:
            filled = _panel(panel, url, axes)
        except HTTPError as error:
            wrong.append(f"{board.stem}: {panel['title']}: the query is refused: {error}")
            continue
        if not filled:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "nothing to show", ha="center", va="center", fontsize=8, color="#6b7280")
            wrong.append(f"{board.stem}: {panel['title']}: no data in {RUN_S} s of a demo")
    figure.savefig(folder / f"board-{board.stem}.png", dpi=80)
    plt.close(figure)
    return wrong


def _panel(panel: dict[str, Any], url: str, axes: Any) -> bool:
    scale, unit = UNITS.get(panel.get("fieldConfig", {}).get("defaults", {}).get("unit", ""), (1.0, ""))
    now = time.time()
    queries = [
        (
            target["expr"].replace("$__rate_interval", "30s").replace("$control_point", ".*"),
            target.get("legendFormat", ""),
        )
        for target in panel["targets"]
    ]
    if panel["type"] == "timeseries":
        lines = [
            (one, legend)
            for query, legend in queries
            for one in asked(url, "query_range", query=query, start=now - 180, end=now, step=5)
        ]
        for one, legend in lines:
            times, values = zip(*[(float(t) - now, float(v) * scale) for t, v in one["values"]], strict=True)
            axes.plot(times, values, linewidth=1, label=_name(one, legend))
        axes.set_xlabel("s", fontsize=6)
        axes.set_ylabel(unit.strip(), fontsize=6)
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
        if 0 < len(lines) <= 12:
            axes.legend(fontsize=5, loc="upper left", frameon=False, ncols=2)
        return bool(lines)
    shown = [
        (_name(one, legend), float(one["value"][1]) * scale)
        for query, legend in queries
        for one in asked(url, "query", query=query)
    ]
    if panel["type"] == "bargauge" and shown:
        shown.sort()
        axes.barh([name for name, _ in shown], [value for _, value in shown], color="#2563eb")
        axes.bar_label(axes.containers[0], labels=[f"{value:.3g}{unit}" for _, value in shown], fontsize=6)
        axes.set_xlabel(unit.strip(), fontsize=6)
        axes.margins(x=0.15)
        return True
    axes.set_axis_off()
    if panel["type"] == "table":
        axes.text(0, 0.95, "\n".join(f"{name}: {value:g}" for name, value in shown), fontsize=6, va="top", wrap=True)
    else:
        figures = (f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" for _, value in shown)
        text = " - ".join(dict.fromkeys(figure + unit for figure in figures))
        axes.text(0.5, 0.45, text, ha="center", va="center", fontsize=17, weight="bold", color="#1d4ed8")
    return bool(shown)


def _name(one: dict[str, Any], legend: str) -> str:
    """As the panel's legend says, or by all labels that tell series apart."""
    if legend and legend != "__auto":
        return re.sub(r"{{ *(\w+) *}}", lambda found: one["metric"].get(found[1], ""), legend)
    labels = {name: value for name, value in one["metric"].items() if name not in ("__name__", "job", "instance")}
    return ", ".join(labels.values()) or "all"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("folder", type=Path, nargs="?", default=ROOT / "docs" / "images")
    main(arguments.parse_args().folder)
