"""One Apache Kafka node on this machine, in the foreground: `python -m tests.real_kafka` (Java 17, Maven).

Prints the settings for `borderflow` and for the benchmarks; ends, and forgets everything, at Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import threading

from tests.real_kafka.cluster import Cluster
from tests.real_kafka.jars import KafkaUnavailableError


def main() -> int:
    """Run until SIGINT or SIGTERM; 2 when this machine cannot."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        with Cluster(1) as cluster:
            for name, value in cluster.environment().items():
                print(f"export {name}={value}", flush=True)  # noqa: T201 - the command's answer
            ended.wait()
    except KafkaUnavailableError as missing:
        print(missing, file=sys.stderr)  # noqa: T201 - the command's answer
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
