"""The jars of an Apache Kafka node, resolved from Maven Central once and kept in a cache folder.

`BORDERFLOW_KAFKA_VERSION` takes another version than the one in `pom.xml`; `BORDERFLOW_KAFKA_CACHE` another folder
than `$XDG_CACHE_HOME/borderflow` (`~/.cache/borderflow`).
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
POM = HERE / "pom.xml"
NEEDED_JAVA = 17


class KafkaUnavailableError(RuntimeError):
    """Apache Kafka cannot run on this machine; the message is a plain sentence that says what is missing."""


def kafka_version() -> str:
    """The version to run: of the environment, else of `pom.xml`."""
    pinned = re.search(r"<kafka\.version>([^<]+)<", POM.read_text())
    assert pinned is not None
    return os.environ.get("BORDERFLOW_KAFKA_VERSION") or pinned.group(1)


@functools.cache
def java() -> str:
    """The path of a `java` that is new enough. Raises `KafkaUnavailableError`."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    if found is None:
        raise KafkaUnavailableError(f"Apache Kafka needs Java {NEEDED_JAVA} or newer, and there is no java command.")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False, timeout=60)
    version = re.search(r'version "(\d+)', said.stderr + said.stdout)
    if version is None or int(version.group(1)) < NEEDED_JAVA:
        shown = version.group(1) if version else "an unknown version"
        raise KafkaUnavailableError(f"Apache Kafka needs Java {NEEDED_JAVA} or newer, and {found} is Java {shown}.")
    return found


def kafka_jars() -> Path:
    """The folder of jars, resolved with Maven when it is not there yet. Raises `KafkaUnavailableError`."""
    java()
    version = kafka_version()
    cache = Path(
        os.environ.get("BORDERFLOW_KAFKA_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "borderflow"
    )
    folder = cache / f"kafka-{version}"
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailableError(f"Kafka's jars are not in {folder}, and there is no mvn command to fetch them.")
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"kafka-{version}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may start at once
        if not folder.is_dir():
            _resolve(maven, version, folder)
    return folder


def _resolve(maven: str, version: str, folder: Path) -> None:
    """Fill `folder` in one step, so that a broken download leaves nothing behind that looks complete."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        fresh = Path(temporary) / "jars"
        done = subprocess.run(
            [
                maven, "-q", "-B", "-f", str(POM),
                f"-Dkafka.version={version}",
                "dependency:copy-dependencies",
                f"-DoutputDirectory={fresh}",
                "-DincludeScope=runtime",
            ],
            capture_output=True, text=True, check=False, timeout=900, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode != 0 or not list(fresh.glob("kafka_*.jar")):
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-3:])
            raise KafkaUnavailableError(f"Maven could not fetch Apache Kafka {version}: {said}")
        fresh.rename(folder)


if __name__ == "__main__":
    kafka_jars()  # so that no test waits for them
