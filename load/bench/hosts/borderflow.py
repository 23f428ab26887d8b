"""borderflow as it is: the worker of `borderflow worker`, with a thread beside it that reads its own counters."""

from __future__ import annotations

import os
import threading
import time

from load.bench.hosts.work import INPUTS, Plan, Report, read_plan
from streams import metrics
from streams.settings import Settings
from streams.worker import serve


def watch(plan: Plan, report: Report) -> None:
    """End the process when all decisions are acknowledged."""
    screened = [metrics.records_in.labels("screening", topic)._value for topic in INPUTS[:3]]
    decisions = metrics.outputs.labels("selection", "decisions")._value
    seen = 0
    while True:
        time.sleep(0.02)
        if any(one.get() for one in screened):
            report.taking()
        decided = int(decisions.get())
        if decided > seen:
            if report.decided(decided - seen):
                report.end()
            seen = decided


if __name__ == "__main__":
    planned = read_plan()
    said = Report(planned)
    os.environ["BORDERFLOW_GROUP"] = planned.group
    threading.Thread(target=watch, args=(planned, said), daemon=True).start()
    serve(Settings.from_environment())
