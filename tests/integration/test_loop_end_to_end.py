"""The whole loop on a real broker: lodgements in, decisions and alerts out, nothing lost, doubled or silent."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest

from load.children import Children
from schemas.codec import codec_for
from schemas.knowledge import CriterionPublished, RiskInformationPublished
from schemas.lodgements import Booking
from streams.embedded import EmbeddedBroker
from streams.policies import built_in_policy
from tests.integration.border import (
    NOON,
    PARTITIONS,
    Border,
    border,
    item_ids,
    letter_of,
    manifest,
    parcel,
    parcel_record,
    passenger,
    raw_record,
    record_of,
    terminate,
)
from tests.integration.harbour import PATIENCE_S, ROOT
from tests.ports import own_port

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def busy_border(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Border]:
    """A border with two workers, for the tests that only lodge and look."""
    with border(tmp_path_factory.mktemp("busy-border")) as made:
        made.open("worker-a", "worker-b")
        yield made


def decided(at: Border, wanted: Callable[[Any], bool], want: int, within_s: float = PATIENCE_S) -> list[Any]:
    """The decisions that a test asked for, once each; fails when there are not `want` of them in time."""
    deadline = time.monotonic() + within_s
    while True:
        found = [event for event in dict(at.decisions(0)).values() if wanted(event)]
        if len(found) >= want or time.monotonic() > deadline:
            at.running()
            assert len(found) == want
            return found


def wait_for(what: Callable[[], bool]) -> None:
    """Return once it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def followed(at: Border, topic: str) -> float:
    """The offset up to which every worker has folded a broadcast topic; -1 when one has folded nothing of it."""
    told = [at.counted(name, "borderflow_follower_offset") for name in ("worker-a", "worker-b")]
    return min(one.get(f'{{topic="{topic}"}}', -1.0) for one in told)


def letters(at: Border, topic: str, wanted: Callable[[dict[str, str]], bool], want: int) -> list[Any]:
    """Dead letters of a topic that a test caused."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = [record for record in at.read(f"{topic}-dlq") if wanted(letter_of(record))]
        if len(found) >= want or time.monotonic() > deadline:
            assert len(found) == want
            return found


def test_of_a_manifest_of_500_with_3_broken_house_bills_497_are_decided_and_3_buried_with_the_field(
    busy_border: Border,
) -> None:
    body = msgspec.to_builtins(manifest(500, 500), str_keys=True)
    del body["consignments"][3]["goods"][0]["hs_code"]
    body["consignments"][250]["goods"][0]["gross_mass_kg"] = -1
    del body["consignments"][499]["consignee"]
    raw = msgspec.json.encode(body)
    busy_border.lodge("manifests", [raw_record(raw, "MF000500")])
    found = decided(busy_border, lambda event: event.item_id.startswith("manifests/MF000500/"), 497)
    assert len({event.item_id for event in found}) == 497
    buried = letters(busy_border, "manifests", lambda said: said["index"] != "", 3)
    assert {(letter_of(record)["index"], letter_of(record)["field"]) for record in buried} == {
        ("3", "consignments[3].goods[0].hs_code"),
        ("250", "consignments[250].goods[0].gross_mass_kg"),
        ("499", "consignments[499].consignee"),
    }
    assert sorted(record.value for record in buried) == [b"", b"", raw]  # kept once, with the first letter
    assert all(letter_of(record)["step"] == "screening" for record in buried)


def test_whatever_is_lodged_becomes_a_decision_or_a_dead_letter_and_the_workers_live_on(busy_border: Border) -> None:
    good = msgspec.json.encode(parcel(9_000_001))
    now = datetime.now(UTC)
    ahead = parcel(9_000_002, lodged_at=now + timedelta(days=1), eta=now + timedelta(days=2))
    nowhere = parcel(9_000_003, control_point="KRXXX-NONE")
    poison: dict[str, tuple[Any, str]] = {
        "garbage": (raw_record(b"\xff\xfe\x00garbage", "garbage"), "not-json"),
        "truncated": (raw_record(good[:-9], "truncated"), "not-json"),
        "null": (raw_record(None, "null"), "null-value"),
        "empty": (raw_record(b"", "empty"), "empty-value"),
        "nan": (raw_record(good.replace(b'"declared_value":', b'"declared_value":NaN,"x":'), "nan"), "not-a-number"),
        "version": (
            raw_record(good, "version", "borderflow.ExpressConsignmentLodged.v9"),
            "unknown-schema-version",
        ),
        "megabyte": (raw_record(b'{"waybill":"' + b"x" * 1_010_000 + b'"}', "megabyte"), "too-large"),
        "nowhere": (record_of(nowhere, "nowhere", nowhere.lodged_at), "unknown-control-point"),
        "ahead": (record_of(ahead, "ahead", now), "clock-ahead"),
    }
    for record, _ in poison.values():
        busy_border.lodge("express-cargo", [record])
    busy_border.lodge("express-cargo", [parcel_record(parcel(9_000_004), 0)])
    decided(busy_border, lambda event: event.item_id == "express-cargo/EX09000004", 1)
    buried = letters(busy_border, "express-cargo", lambda said: True, len(poison))
    reasons = {(record.key or b"").decode(): letter_of(record)["reason"] for record in buried}
    assert reasons == {name: reason for name, (_, reason) in poison.items()}
    kept = {(record.key or b"").decode(): record.value for record in buried}
    assert {name: kept[name] or None for name in poison} == {n: one.value or None for n, (one, _) in poison.items()}


def test_a_manifest_of_nearly_a_megabyte_is_decided_whole(busy_border: Border) -> None:
    large = manifest(501, 3_000)
    record = record_of(large, large.manifest_id, large.lodged_at)
    assert 800_000 < len(record.value or b"") < 1_000_000
    busy_border.lodge("manifests", [record])
    decided(busy_border, lambda event: event.item_id.startswith("manifests/MF000501/"), 3_000)


def test_travellers_of_nearly_a_megabyte_are_decided_and_alerted_to(busy_border: Border) -> None:
    entry = RiskInformationPublished(
        entry_id="WL-LONG", version=1, kind="watchlist", streams=("passengers",),
        documents=tuple([f"M{7_500_000 + n:08d}" for n in range(4)]), valid_from=NOON - timedelta(days=1),
    )  # fmt: skip
    busy_border.lodge("risk-information", [record_of(entry, "WL-LONG", NOON, 0)])
    last = busy_border.read("risk-information", partitions=1)[-1].offset
    wait_for(lambda: followed(busy_border, "risk-information") == last)
    travellers = [
        passenger(7_500_000 + n, booking=Booking(agency="ENDLESS", itinerary=("CNPVG", "KRICN") * 62_460))
        for n in range(4)
    ]
    records = [record_of(one, one.passenger_reference, one.lodged_at, n) for n, one in enumerate(travellers)]
    assert all(999_000 < len(record.value or b"") < 1_000_000 for record in records)
    for record in records:
        busy_border.lodge("passengers", [record])
    wanted = {f"passengers/{one.journey_id}/{one.passenger_reference}" for one in travellers}
    found = decided(busy_border, lambda event: event.item_id in wanted, len(travellers))
    selected = {event.item_id for event in found if event.selected}
    assert selected == wanted
    alerts = [codec_for("alerts").decode(record.value) for record in busy_border.read("alerts")]
    assert {alert.decision.item_id for alert in alerts} >= selected


TRIES = 3
"""A machine may stand still for longer than the second in which knowledge takes effect, but not again and again."""


def assert_takes_effect_and_ends(
    published: Callable[[int], Any], lodge_and_look: Callable[[Any, int], list[bool]], first: int
) -> None:
    """What is published acts on every item lodged a second later, and on none a second after it is withdrawn."""
    seen = []
    for number in range(TRIES):
        one = published(number)
        withdrawn = msgspec.structs.replace(one, version=2, withdrawn=True)
        begin = first + number * 20_000
        seen.append((all(lodge_and_look(one, begin)), any(lodge_and_look(withdrawn, begin + 10_000))))
        if seen[-1] == (True, False):
            break
    assert seen[-1] == (True, False), seen


def test_a_criterion_takes_effect_and_ends_on_every_worker_within_a_second(busy_border: Border) -> None:
    def lodge_and_look(criterion: CriterionPublished, first: int) -> list[bool]:
        """Whether the criterion fired a second later, item by item; hits over its cap fire too, without effect."""
        busy_border.lodge("criteria", [record_of(criterion, criterion.criterion_id, NOON, 0)])
        time.sleep(1.0)
        made = [parcel(number, platform="LANTERN-MALL") for number in range(first, first + 40)]
        busy_border.lodge("express-cargo", [parcel_record(one, n % PARTITIONS) for n, one in enumerate(made)])
        wanted = {f"express-cargo/{one.waybill}" for one in made}
        decided(busy_border, lambda event: event.item_id in wanted, 40)
        filtered = [codec_for("filtered").decode(record.value) for record in busy_border.read("filtered")]
        fired = {event.item.item_id: event.criteria for event in filtered if event.item.item_id in wanted}
        assert len(fired) == 40
        return [any(hit.criterion_id == criterion.criterion_id for hit in hits) for hits in fired.values()]

    def published(number: int) -> CriterionPublished:
        return CriterionPublished(
            criterion_id=f"CR-TEST-{number}", version=1, title="Parcels of Lantern Mall", streams=("express-cargo",),
            condition='platform == "LANTERN-MALL"', action="direct", cap=1.0, valid_from=NOON - timedelta(days=1),
        )  # fmt: skip

    assert_takes_effect_and_ends(published, lodge_and_look, 8_000_000)


def test_a_watchlist_entry_takes_effect_and_ends_on_every_worker_within_a_second(busy_border: Border) -> None:
    def lodge_and_look(entry: RiskInformationPublished, first: int) -> list[bool]:
        busy_border.lodge("risk-information", [record_of(entry, entry.entry_id, NOON, 0)])
        time.sleep(1.0)
        document = passenger(7_000_000).document
        made = [passenger(number, document=document) for number in range(first, first + 8)]
        for number, one in enumerate(made):
            busy_border.lodge(
                "passengers", [record_of(one, one.passenger_reference, one.lodged_at, number % PARTITIONS)]
            )
        wanted = {f"passengers/KE0703-20260302/R{number:06d}" for number in range(first, first + 8)}
        found = decided(busy_border, lambda event: event.item_id in wanted, 8)
        return [event.layer == "mandatory" for event in found]

    def published(number: int) -> RiskInformationPublished:
        return RiskInformationPublished(
            entry_id=f"WL-TEST-{number}", version=1, kind="watchlist", streams=("passengers",),
            documents=("M07000000",), valid_from=NOON - timedelta(days=1),
        )  # fmt: skip

    assert_takes_effect_and_ends(published, lodge_and_look, 7_000_000)


PARCELS = 2_000


def lodge_day(at: Border, seconds: float, after_each: Callable[[int], None] | None = None) -> None:
    """Lodge the parcels of one day over so many seconds; a consignee's parcels keep their order."""
    steps = 40
    began = time.monotonic()
    for step in range(steps):
        numbers = range(step * PARCELS // steps, (step + 1) * PARCELS // steps)
        at.lodge("express-cargo", [parcel_record(parcel(n), n % 40 % PARTITIONS) for n in numbers])
        if after_each is not None:
            after_each(step)
        time.sleep(max(0.0, began + (step + 1) * seconds / steps - time.monotonic()))


def windows(at: Border) -> dict[str, Any]:
    """What filtering had seen of the subject at each item, the first delivery of each."""
    found: dict[str, Any] = {}
    for record in at.read("filtered"):
        event = codec_for("filtered").decode(record.value)
        found.setdefault(event.item.item_id, event.monitored)
    return found


def test_a_worker_killed_mid_run_and_restarted_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    with border(tmp_path / "undisturbed") as calm:
        calm.open("worker-a")
        lodge_day(calm, 1.0)
        assert len(item_ids(calm.decisions(PARCELS))) == PARCELS
        expected = windows(calm)

    # Offsets are committed so seldom that the kill is certain to find records that are done and not committed.
    with border(tmp_path / "disturbed", BORDERFLOW_COMMIT_INTERVAL_S="60") as disturbed:
        disturbed.open("worker-a", "worker-b")
        screened_by_it = '{step="screening",topic="screened"}'

        def kill_and_restart(step: int) -> None:
            if step == 12:
                wait_for(lambda: disturbed.counted("worker-b", "borderflow_outputs_total").get(screened_by_it, 0) > 0)
                disturbed.kill("worker-b", disturbed.process("worker-b"))
                disturbed.start("worker-b")

        lodge_day(disturbed, 6.0, kill_and_restart)
        disturbed.wait_ready("worker-b")
        decisions = disturbed.decisions(PARCELS)
        counted = item_ids(decisions)
        assert len(counted) == PARCELS  # none missing
        assert set(counted.values()) == {1}  # none doubled, once repeats of a ce_id are dropped
        assert not disturbed.read("express-cargo-dlq")
        screened = len(disturbed.read("screened"))
        assert screened > PARCELS, "the kill caused no redelivery, so this test showed nothing"

        def redelivered() -> float:
            told = [disturbed.counted(name, "borderflow_redelivered_total") for name in ("worker-a", "worker-b")]
            return sum(one.get('{step="filtering"}', 0.0) for one in told)

        wait_for(lambda: redelivered() >= screened - PARCELS)
        assert redelivered() == screened - PARCELS
        assert windows(disturbed) == expected


def test_a_worker_that_is_asked_to_stop_leaves_nothing_half_acked(tmp_path: Path) -> None:
    with border(tmp_path / "logs") as at:
        at.open()
        first = at.start("worker-a")
        at.wait_ready("worker-a")
        codes: list[int] = []
        stopper = threading.Thread(target=lambda: codes.append(terminate(first)))

        def stop(step: int) -> None:
            if step == 15:
                wait_for(lambda: sum(at.counted("worker-a", "borderflow_decisions_total").values()) > 0)
                stopper.start()

        lodge_day(at, 4.0, stop)
        stopper.join()
        at.stop("worker-a")
        assert codes == [0]
        assert 0 < len(at.decisions(0)) < PARCELS
        at.start("worker-a")
        at.wait_ready("worker-a")
        decisions = at.decisions(PARCELS)
        assert len(decisions) == len(item_ids(decisions)) == PARCELS
        assert not sum(at.counted("worker-a", "borderflow_redelivered_total").values())


def test_a_worker_that_is_told_to_stop_while_brokers_are_away_ends_in_good_order(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker, Children({**broker.environment(), "BORDERFLOW_PARTITIONS": "2"}, tmp_path) as at:
        at.run("topics", "topics", "create")
        port = own_port()
        process = at.start("worker", "worker", BORDERFLOW_WEB_PORT=str(port))
        at.wait_ready("worker", port)
        broker.stop()
        while b"Failed fetch" not in at.log_of("worker").read_bytes():
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_who_floods_garbage_stops_no_worker_that_has_taken_in_others_items(tmp_path: Path) -> None:
    with border(tmp_path / "logs") as at:
        at.open("worker-a")
        at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(100)])
        at.decisions(100)
        flood = [raw_record(b"garbage", f"garbage {n}") for n in range(3000)]
        for part in range(3):
            at.lodge("express-cargo", flood[part * 1000 : part * 1000 + 1000])
            at.lodge("express-cargo", [parcel_record(parcel(100 + part), part % PARTITIONS)])
        assert len(item_ids(at.decisions(103))) == 103
        letters(at, "express-cargo", lambda said: said["reason"] == "not-json", 3000)
        at.running()
        assert at.stop("worker-a") == 0


def test_a_worker_that_starts_during_a_flood_goes_on_and_a_wrong_one_still_stops(tmp_path: Path) -> None:
    """Both refuse all of their first thousand items; what was lodged before tells them apart."""
    with border(tmp_path / "logs") as at:
        at.open("worker-a")
        at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(100)])
        at.decisions(100)
        assert at.stop("worker-a") == 0
        flood = [raw_record(b"garbage", f"garbage {n}") for n in range(3000)]
        for part in range(3):
            at.lodge("express-cargo", flood[part * 1000 : part * 1000 + 1000])
        at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(100, 104)])
        at.start("worker-b")
        assert len(item_ids(at.decisions(104))) == 104
        letters(at, "express-cargo", lambda said: said["reason"] == "not-json", 3000)
        at.running()
        assert "takes what was lodged there before" in at.log("worker-b")
        assert at.stop("worker-b") == 0

        at.lodge("express-cargo", [parcel_record(parcel(n), n % PARTITIONS) for n in range(1000, 2500)])
        held = built_in_policy()
        elsewhere = {name: one for name, one in held.control_points.items() if not name.endswith("-EXP")}
        policy = tmp_path / "elsewhere.yaml"
        policy.write_bytes(msgspec.yaml.encode(msgspec.structs.replace(held, control_points=elsewhere)))
        wrong = at._children.start("wrong", "worker", BORDERFLOW_WEB_PORT="0", BORDERFLOW_POLICY_FILE=str(policy))
        assert wrong.wait(PATIENCE_S) == 1
        assert "TooManyDeadLettersError" in at.log("wrong")
        buried = at.read("express-cargo-dlq", 3000)
        assert sum(letter_of(one)["reason"] == "unknown-control-point" for one in buried) < 1000


def test_the_faust_command_hosts_the_same_worker_and_opens_no_port_of_faust_s_own(tmp_path: Path) -> None:
    with border(tmp_path / "logs") as at:
        at.open()
        ours, fausts = own_port(), own_port()
        environment = {**os.environ, **at.environment, "BORDERFLOW_WEB_PORT": str(ours)}
        command = [
            str(Path(sys.executable).with_name("faust")), "-A", "streams.worker", "worker", "--web-port", str(fausts),
        ]  # fmt: skip
        with (tmp_path / "faust.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                at.lodge("express-cargo", (parcel_record(parcel(number)) for number in range(100)))
                assert len(item_ids(at.decisions(100))) == 100
                with urlopen(f"http://127.0.0.1:{ours}/readyz", timeout=PATIENCE_S) as page:
                    assert page.status == 200
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", fausts), timeout=5)
                assert terminate(process) == 0, (tmp_path / "faust.log").read_text()
            finally:
                process.kill()
                process.wait()


def test_a_short_demonstration_accounts_for_every_item(tmp_path: Path) -> None:
    summary_file = tmp_path / "summary.json"
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "demo", "--duration", "15", "--json", str(summary_file)],
        cwd=ROOT, capture_output=True, text=True, timeout=350,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(summary_file.read_text())
    assert {
        "lodged", "decided", "dead_lettered", "missing", "doubled", "inspected", "coverage", "capacity_share",
        "seizure_rate", "model_version", "items_per_second", "latency_ms", "alerts",
    } <= set(summary)  # fmt: skip
    assert (summary["missing"], summary["doubled"]) == (0, 0)
    assert summary["lodged"] == summary["decided"] + summary["dead_lettered"] > 1_000
    assert summary["dead_lettered"] > 0  # the simulated lodgers make mistakes
    assert summary["model_version"] > 0
    assert summary["alerts"] > 0 < summary["inspected"]
    assert {"model", "exploration"} <= set(summary["seizure_rate"])
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
