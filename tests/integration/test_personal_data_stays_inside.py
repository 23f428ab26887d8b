"""Personal data in every field of what is lodged or published, right and wrong, and not a trace of it outside.

Outside is what operators see: log lines at DEBUG, metrics, the headers that say why something was refused, what
`borderflow dlq` and the worker's last words say.
"""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from schemas.codec import ce_type_of
from schemas.inspections import InspectionCompleted, ModelPromoted
from schemas.knowledge import CriterionPublished, RiskInformationPublished
from streams.logging import personal_fields
from tests.integration.border import PARTITIONS, Border, border, letter_of, parcel, parcel_record, raw_record
from tests.integration.harbour import PATIENCE_S, ROOT

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

EXAMPLES = ROOT / "schemas" / "examples"
MARK = "zyxwq"
"""Stands in every planted value; in no code, no log line and no name of ours."""
BORN = "1907-03-29"
TOPICS = ("express-cargo", "passengers", "manifests", "inspection-results")
IDS = {"waybill", "manifest_id", "house_bill", "journey_id", "passenger_reference", "result_id", "decision_id"}
"""What a record is called by. Ids are logged on purpose."""


def planted(thing: Any, field: str = "", number: list[int] | None = None) -> Any:
    """The same event with a person in every personal field."""
    number = number if number is not None else [0]
    if isinstance(thing, dict):
        return {name: planted(value, name, number) for name, value in thing.items()}
    if isinstance(thing, list):
        return [planted(value, field, number) for value in thing]
    if isinstance(thing, str) and field in personal_fields() - {"nationality", "gender", "expires"}:
        number[0] += 1
        return BORN if field == "birth_date" else f"Zyxwq{number[0]} Rae"
    return thing


def spoilt(event: Any) -> Iterator[Any]:
    """The event with one field after the other holding what it should not: a person's name, or a thing with one."""
    for path in paths(event):
        for wrong in (f"Zyxwq {path[-1]}", {"Zyxwq": "Zyxwq"}, ["Zyxwq"], f"{BORN} Zyxwq"):
            made = copy.deepcopy(event)
            inner = made
            for step in path[:-1]:
                inner = inner[step]
            inner[path[-1]] = wrong
            yield made
    yield {**event, "Zyxwq Rae": "Zyxwq Rae"}


def paths(thing: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every leaf but the ids."""
    children: Any = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    for name, value in children:
        if name in IDS:
            continue
        if isinstance(value, dict | list):
            yield from paths(value, (*before, name))
        else:
            yield (*before, name)


def events(topic: str) -> list[Any]:
    """Every example of a topic, planted."""
    return [planted(json.loads(path.read_text())) for path in sorted((EXAMPLES / topic / "v1").glob("*.json"))]


def encoded(event: Any) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def assert_no_trace(said: str, where: str) -> None:
    """Fail without printing what was found: the place is enough."""
    for number, line in enumerate(said.splitlines(), 1):
        found = MARK in line.lower() or BORN in line
        start = max(0, line.lower().find(MARK) - 150)
        assert not found, f"{where}, line {number}: ...{line[start : start + 200]}"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Border]:
    with border(tmp_path / "logs", BORDERFLOW_LOG_LEVEL="DEBUG") as made:
        yield made


def test_no_personal_data_in_logs_metrics_and_refusals(at: Border) -> None:
    at.open("one")
    for topic in TOPICS:
        records = []
        for event in events(topic):
            body = encoded(event)
            records += [raw_record(body, "Zyxwq Rae"), raw_record(body[:-7]), raw_record(body, "Zyxwq Rae", "Zyxwq.v1")]
            records += [raw_record(encoded(one), "Zyxwq Rae") for one in spoilt(event)]
        at.lodge(topic, records)
    knowledge: dict[str, type] = {"criteria": CriterionPublished, "risk-information": RiskInformationPublished}
    for topic, kind in knowledge.items():
        made = [one for event in events(topic) for one in (event, *spoilt(event))]
        at.lodge(topic, [raw_record(encoded(one), f"Zyxwq {n}", ce_type_of(kind)) for n, one in enumerate(made)])
    models = [one for event in events("labelled-examples") for one in (event, *spoilt(event))]
    at.lodge("labelled-examples", [raw_record(encoded(one), "model", ce_type_of(ModelPromoted)) for one in models])
    at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(50)])
    at.decisions(50)

    letters = [letter for topic in TOPICS for letter in at.read(f"{topic}-dlq", 1)]
    assert len(letters) > 300
    for letter in letters:
        assert_no_trace(json.dumps(letter_of(letter), ensure_ascii=False), f"refusal of {letter.topic}")
    with urlopen(f"http://127.0.0.1:{at._ports['one']}/metrics", timeout=PATIENCE_S) as page:
        assert_no_trace(page.read().decode(), "metrics")
    for listing in (["list"], ["list", "--letters"], ["list", "--letters", "--json"]):
        assert_no_trace(run("dlq", *listing, environment=at.environment), f"borderflow dlq {' '.join(listing)}")
    at.running()
    assert at.stop("one") == 0
    assert '"level": "debug"' in at.log("one")
    assert_no_trace(at.log("one"), "the log")


def test_no_personal_data_in_the_last_words_of_a_worker_that_refuses_nearly_everything(at: Border) -> None:
    at.run("topics", "create")
    nameless = {**events("passengers")[0], "family_name": {"Zyxwq": "Zyxwq"}}
    at.lodge("passengers", [raw_record(encoded(nameless), "Zyxwq Rae")] * 1500)
    process = at.start("one")
    assert process.wait(PATIENCE_S) == 1
    assert "TooManyDeadLettersError" in at.log("one")
    assert_no_trace(at.log("one"), "the log")


def test_no_personal_data_when_results_of_nobody_s_alert_come_in(at: Border) -> None:
    at.open("one")
    body = {
        "event": "InspectionCompleted", "result_id": "R1", "decision_id": "d-nobody", "control_point": "KRICN-EXP",
        "inspected_at": "2026-03-02T11:25:00Z", "method": "x-ray", "outcome": "seizure", "categories": ["drugs"],
        "officer": "Zyxwq Rae", "note": "found on Zyxwq Rae",
    }  # fmt: skip
    at.lodge("inspection-results", [raw_record(encoded(body), "KRICN-EXP", ce_type_of(InspectionCompleted))])
    (letter,) = at.read("inspection-results-dlq", 1)
    assert_no_trace(json.dumps(letter_of(letter)), "the refusal")
    time.sleep(0.5)
    assert at.stop("one") == 0
    assert_no_trace(at.log("one"), "the log")


def run(*arguments: str, environment: dict[str, str]) -> str:
    """What a `borderflow` command prints."""
    import os
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments], env={**os.environ, **environment}, cwd=ROOT,
        capture_output=True, text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    return done.stdout + done.stderr
