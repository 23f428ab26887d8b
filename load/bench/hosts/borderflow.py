"""borderflow as it is: the worker of `borderflow worker`, with a thread beside it that reads its own counters."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

from load.bench.hosts.work import Plan, Report, read_plan
from streams import metrics
from streams.hosting import StepHost
from streams.settings import Settings
from streams.transport import RecordBatch
from streams.worker import serve


def take_notice(report: Report) -> None:
    """Let the report begin before the first batch is decided, as other hosts do: counters tell what was delivered."""
    handle = StepHost.handle

    async def noticed(host: StepHost, batches: Sequence[RecordBatch]) -> list[bool]:
        report.taking()
        return await handle(host, batches)

    StepHost.handle = noticed  # type: ignore[method-assign, assignment]


def watch(report: Report) -> None:
    """End the process when all decisions are acknowledged."""
    decisions = metrics.outputs.labels("selection", "decisions")._value
    seen = 0
    while True:
        time.sleep(0.02)
        decided = int(decisions.get())
        if decided > seen:
            if report.decided(decided - seen):
                report.end()
            seen = decided


def main(plan: Plan) -> None:
    """Work until all is decided."""
    report = Report(plan)
    os.environ["BORDERFLOW_GROUP"] = plan.group
    take_notice(report)
    threading.Thread(target=watch, args=(report,), daemon=True).start()
    serve(Settings.from_environment())


if __name__ == "__main__":
    main(read_plan())
