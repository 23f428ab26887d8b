"""Simulation over a small recorded history: counts, known outcomes, criteria before they act, the report."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from msgspec import structs

from agents.identity import unit_hash
from agents.risk.brain import Brain
from agents.risk.policy import Policy, read_policy
from agents.risk.profiles import Profiles
from load.bench.history import make_history
from schemas.codec import codec_for
from schemas.decisions import SelectionDecided
from streams.archive.layout import Catalogue
from streams.archive.questions import NAMED
from streams.archive.reading import ArchiveReader
from streams.archive.times import EARLIEST, LATEST
from streams.archive.views import connect
from streams.cli import main
from streams.commands.simulate import _candidates, say
from streams.policies import built_in_policy
from streams.simulate import page
from streams.simulate.assessing import Record
from streams.simulate.candidates import Candidate, not_tried, swept
from streams.simulate.choices import ChoiceFiles, files_of
from streams.simulate.engine import Simulation
from streams.simulate.estimate import Figure
from streams.simulate.findings import Simulated
from streams.simulate.page import report
from streams.simulate.run import Question, cautions, otherwise_than_then
from streams.simulate.taken import taken
from tests.archive_files import example_records, read, write

CRITERIA = """
- criterion_id: CR-BROAD
  version: 1
  title: All low values
  streams: [express-cargo]
  condition: 'value_usd < 60'
  action: direct
  cap: 0.05
- criterion_id: 'CR-[/NARROW]'  # no markup of a terminal
  version: 1
  title: Nothing
  streams: [express-cargo]
  condition: 'value_usd < 0.001'
  action: boost
  weight: 1.0
"""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight days of 3,000 items."""
    root = tmp_path_factory.mktemp("simulated") / "archive"
    make_history(root, items=3000, days=8)
    return root


def test_the_policy_that_decided_last_is_looked_for_once(history: Path) -> None:
    first, last = _candidates(ArchiveReader(Catalogue.of(history)), "current", "current", (), None)[0]
    assert (first.name, last.name, first.policy is last.policy) == ("candidate", "current", True)


@pytest.fixture(scope="module")
def answer(history: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """report.json and report.html of a sweep with criteria."""
    out = tmp_path_factory.mktemp("report")
    (out / "criteria.yaml").write_text(CRITERIA)
    command = ["simulate", "--dir", str(history), "--sweep", "capacity=0.01,0.05", "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--criteria", str(out / "criteria.yaml")])
    assert ended.value.code == 0
    return json.loads((out / "report.json").read_text()), (out / "report.html").read_text()


def ask(history: Path, sql: str) -> Any:
    db: duckdb.DuckDBPyConnection = connect(Catalogue.of(history))
    (row,) = db.execute(sql).fetchall()
    return row


def test_the_record_is_counted_as_it_is(history: Path, answer: tuple[Any, str]) -> None:
    recorded = answer[0]["recorded"]
    items, selected, inspected, seized = ask(
        history,
        "SELECT count(*), count(*) FILTER (selected), count(*) FILTER (inspected), count(*) FILTER (seized) "
        "FROM outcomes",
    )
    assert [recorded[name] for name in ("items", "selected", "inspected", "seizures")] == [
        items, selected, inspected, seized,
    ]  # fmt: skip


def test_more_capacity_selects_more_and_less_of_it_is_known(answer: tuple[Any, str]) -> None:
    by_name = {one["name"]: one for one in answer[0]["candidates"]}
    small, large, current = (by_name[name] for name in ("capacity=0.01", "capacity=0.05", "current"))
    assert small["selected"] < large["selected"]
    assert current["selected"] < large["selected"]
    assert large["unknown_share"] > current["unknown_share"]
    for one in by_name.values():
        assert one["items"] == answer[0]["items"]
        assert one["known"] <= one["shared"] <= one["selected"]
        rate = one["estimate"]["seizure_rate"]
        assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1


def test_a_policy_simulated_against_itself_selects_what_it_selected(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", "--dir", str(history), "--out", str(tmp_path)])
    said = capsys.readouterr().out.splitlines()  # in a pipe, where nothing is cut
    assert f"report: {tmp_path / 'report.html'}, {tmp_path / 'report.json'}" in said
    first, last = json.loads((tmp_path / "report.json").read_text())["candidates"]
    assert {**first, "name": ""} == {**last, "name": ""}
    assert first["shared"] == first["selected"] == ask(history, "SELECT count(*) FILTER (selected) FROM decisions")[0]
    assert first["known"] == first["selected"]
    assert "- candidate and current are the same policy." in said
    assert "overlap" not in " ".join(said)


@pytest.mark.parametrize("since", ["2025-01-09", "2025-01-11T07:30"])
def test_the_policy_that_ran_selects_in_any_span_what_it_selected_then(
    since: str, history: Path, tmp_path: Path
) -> None:
    span = ["--since", since, "--until", "2025-01-12T18:00"]
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--dir", str(history), "--out", str(tmp_path), *span])
    assert ended.value.code == 0
    found = json.loads((tmp_path / "report.json").read_text())
    begin, end = (datetime.fromisoformat(one).replace(tzinfo=UTC) for one in (since, "2025-01-12T18:00"))
    decode, places = codec_for("decisions").decode, Catalogue.of(history).partitions("decisions")
    then = [decode(one.value) for place in places for one in read(history, "decisions", place)]
    chosen = [one.selected for one in then if begin <= one.lodged_at < end]
    first = found["candidates"][0]
    assert (first["items"], first["selected"], first["shared"]) == (len(chosen), sum(chosen), sum(chosen))
    assert sum(chosen) >= 5
    assert found["warm_since"] < found["since"]


def test_candidates_are_in_charge_from_the_span_on_and_not_before(history: Path, tmp_path: Path) -> None:
    shares = {}
    for since in ("2025-01-06", "2025-01-11"):
        out = tmp_path / since
        with pytest.raises(SystemExit):
            main(["simulate", "--dir", str(history), "--since", since, "--sweep", "capacity=0.08", "--out", str(out)])
        found = json.loads((out / "report.json").read_text())
        by_day = {day["name"]: day["selected"] for day in found["candidates"][1]["by_day"]}
        shares[since] = by_day["2025-01-11"]
        assert min(by_day) == since
    # The accounts of the one that just took over hold days at the old capacity, which it makes up for.
    assert shares["2025-01-11"] != shares["2025-01-06"]


class _Kept(dict[str, SelectionDecided]):
    def add(self, candidate: str, decision: SelectionDecided) -> None:
        self[decision.decision_id] = decision


def decided(history: Path, policy: Policy, as_recorded: bytes | None) -> dict[str, SelectionDecided]:
    """What a candidate decides on items of a history, by models that learn nothing."""
    simulation, kept = Simulation([Candidate("candidate", policy)], {None: Brain(Profiles())}, as_recorded), _Kept()
    for one in taken(ArchiveReader(Catalogue.of(history)), 0, 1 << 61):
        simulation.decide(one.arrival.partition, [one.arrival], kept)
    return kept


def test_filtering_again_makes_of_items_what_filtering_made(history: Path) -> None:
    policy = built_in_policy()
    then, again = decided(history, policy, Candidate("", policy).filters_as), decided(history, policy, None)
    assert again.keys() == then.keys()
    assert len(then) > 2000
    # Only how unusual an item is may depend on the order in which partitions come.
    alike = sum(again[one].auto_cleared == then[one].auto_cleared for one in then)
    assert alike > 0.99 * len(then)


def test_who_filters_otherwise_makes_something_else_of_items(history: Path) -> None:
    policy = built_in_policy()
    settings = msgspec.to_builtins(policy)
    settings["auto_clear"] |= {"clean_inspections": 1, "value_usd": 1e9, "anomaly_below": 1.0}
    as_then = Candidate("", policy).filters_as
    then, generous = (decided(history, one, as_then) for one in (policy, read_policy(settings)))
    assert generous.keys() == then.keys()
    assert sum(one.auto_cleared for one in then.values()) < sum(one.auto_cleared for one in generous.values())


def test_a_fixed_model_is_held_against_what_was_selected_with_the_models_as_they_learnt(
    history: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--dir", str(history), "--out", str(tmp_path), "--model", "0"])
    assert ended.value.code == 0
    found = json.loads((tmp_path / "report.json").read_text())
    first, last = found["candidates"]
    assert last["shared"] == last["selected"] == found["recorded"]["selected"]
    assert first["shared"] < first["selected"]
    assert found["model"] == "version 0; for current as they learnt"
    assert any(one.startswith("candidate: the models are those of version 0.") for one in found["cautions"])
    assert not any("are the same policy" in one for one in found["cautions"])


def test_what_was_decided_twice_is_one_item(history: Path, tmp_path: Path) -> None:
    twice = tmp_path / "archive"
    shutil.copytree(history, twice)
    for topic in ("filtered", "decisions"):
        held = [read(history, topic, at) for at in Catalogue.of(history).partitions(topic)]
        shutil.rmtree(twice / f"topic={topic}")
        for records in held:  # each partition's last comes again, as after a crash
            write(twice, [*records, dataclasses.replace(records[-1], offset=records[-1].offset + 1)])
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--dir", str(twice), "--out", str(tmp_path)])
    assert ended.value.code == 0
    counted = json.loads((tmp_path / "report.json").read_text())["items"]
    assert counted == ask(history, "SELECT count(*) FROM decisions")[0]


def test_figures_do_not_depend_on_the_order_of_rows(history: Path, tmp_path: Path) -> None:
    decode = codec_for("decisions").decode
    places = Catalogue.of(history).partitions("decisions")
    decisions = [decode(one.value) for place in places for one in read(history, "decisions", place)]
    assessed = []
    for seed in range(3):
        decisions.sort(key=lambda one: unit_hash(seed, one.decision_id))
        files = ChoiceFiles(tmp_path / str(seed))
        for decision in decisions:
            files.add("any", decision)
        files.close()
        record = Record(connect(Catalogue.of(history), "outcomes"), EARLIEST, LATEST)
        assessed.append(record.assess(Candidate("any", built_in_policy()), tmp_path / str(seed)))
    assert assessed[0] == assessed[1] == assessed[2]


def test_a_criterion_of_any_name_is_shown_as_it_is(answer: tuple[Any, str], capsys: pytest.CaptureFixture[str]) -> None:
    found = msgspec.convert(answer[0], Simulated)
    found.criteria[0].criterion_id = "[/x] CR[red]7"
    say(found)
    assert "[/x] CR[red]7" in capsys.readouterr().out


def test_a_replay_whose_folder_is_named_like_a_pattern_reports_on_itself(history: Path, tmp_path: Path) -> None:
    for name, days in (("run1", ["--since", "2025-01-10"]), ("run[1]", [])):
        with pytest.raises(SystemExit) as ended:
            main(["replay", "--dir", str(history), "--out", str(tmp_path / name), *days])
        assert ended.value.code == 0
    found = json.loads((tmp_path / "run[1]" / "report.json").read_text())
    assert found["whole"]["items"] == ask(history, "SELECT count(*) FROM decisions")[0]


def test_choices_in_a_folder_that_is_named_like_a_pattern_are_assessed(history: Path, tmp_path: Path) -> None:
    decode = codec_for("decisions").decode
    for name, count in (("1", 2), ("[1]", 1)):
        files = ChoiceFiles(tmp_path / name)
        for one in example_records("decisions")[:count]:
            files.add("any", decode(one.value))
        files.close()
    record = Record(connect(Catalogue.of(history), "outcomes"), EARLIEST, LATEST)
    assert record.assess(Candidate("any", built_in_policy()), tmp_path / "[1]").items == 1


@pytest.mark.parametrize("name", [name for name in NAMED if not NAMED[name].needs_subject])
def test_a_question_of_the_last_days_reads_no_file_of_earlier_ones_and_says_the_same(history: Path, name: str) -> None:
    catalogue, text = Catalogue.of(history), NAMED[name].text
    (latest,) = ask(history, "SELECT max(lodged_at) FROM decisions")
    values = {"since": latest - timedelta(days=2), "until": LATEST}
    few, all_ = connect(catalogue, text, since=values["since"]), connect(catalogue, text)
    answer = few.execute(text, values).fetchall()
    assert answer == all_.execute(text, values).fetchall()
    assert answer or name == "criteria-effectiveness"  # no criterion in this history
    read, held = (db.execute("SELECT count(DISTINCT date) FROM raw_decisions").fetchall() for db in (few, all_))
    assert (read, held) == ([(4,)], [(8,)])


def test_criteria_are_projected_before_they_act(answer: tuple[Any, str]) -> None:
    broad, narrow = answer[0]["criteria"]
    assert (broad["criterion_id"], narrow["criterion_id"]) == ("CR-BROAD", "CR-[/NARROW]")
    assert sum(one["selected"] for one in broad["by_control_point"]) == broad["hits"] > 500
    assert broad["hits_per_day"] == pytest.approx(broad["hits"] / 8)
    assert broad["capped"] > 0
    assert broad["hit_rate"]["selected"] == broad["hits"]
    assert narrow["hits"] == 0


def test_the_report_is_one_file_that_asks_nothing_of_a_network(answer: tuple[Any, str]) -> None:
    data, page = answer
    assert page.count("<svg") >= 4
    assert re.findall(r"""(?:src|href)=["'](?!#)""", page.replace("xlink:href", "href")) == []
    assert "url(http" not in page
    assert "<script" not in page
    assert data["command"].startswith("borderflow simulate --dir ")
    assert data["recorded"]["policies"][0] in page


def test_a_report_shows_what_is_not_known_as_that(answer: tuple[Any, str]) -> None:
    found = msgspec.convert(answer[0], Simulated)
    unknown = msgspec.structs.replace(
        found.candidates[0].estimate, seizures=Figure(None, 0, 9), seizure_rate=Figure(None, 0, 0.9)
    )
    for one in found.candidates:
        one.estimate = unknown
    shown = report(found, "of nothing")
    assert "not known (0.0% to 90.0%)" in shown
    assert shown.count("<svg") >= 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sweep", "capacity"], "--sweep: 'capacity' is not like"),
        (["--sweep", "capacity=0.01,two"], "--sweep: 'two' is not a number"),
        (["--sweep", "nothing=1"], "there is no number nothing"),
        (["--sweep", "capacity=2"], "capacity_share"),
        (["--sweep", "capacity=0.02,0.05,0.020"], "--sweep: 0.020 stands there twice"),
        (["--sweep", "lessons.severity=0,1"], "--sweep: lessons.severity changes nothing in a simulation"),
        (["--sweep", "horizons.alerts_days=60"], "--sweep: horizons.alerts_days changes nothing in a simulation"),
        (["--policy", "absent.yaml"], "--policy: absent.yaml"),
        (["--since", "2030-01-01"], "no item of that time is archived"),
        (["--model", "100000"], "--model: version 100000 is not archived"),
        (["--model", "-1"], "--model"),
    ],
)
def test_wrong_questions_are_refused_by_name(
    options: list[str], said: str, history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--dir", str(history), "--out", str(tmp_path / "no"), *options])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_policy_of_other_offices_is_refused_and_one_of_some_is_said_to_decide_less(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate, out = tmp_path / "candidate.yaml", tmp_path / "out"
    command = ["simulate", "--dir", str(history), "--out", str(out), "--policy", str(candidate)]
    candidate.write_text("version: rotterdam-1\ncontrol_points:\n  NLRTM-SEA: {streams: [manifests]}\n")
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "policy rotterdam-1+" in said
    assert "no item of that time is for a control point that it has" in said

    candidate.write_text("version: express-1\ncontrol_points:\n  KRICN-EXP: {streams: [express-cargo]}\n")
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    found = json.loads((out / "report.json").read_text())
    first, last = found["candidates"]
    less = f"candidate decides {first['items']:,} of the {last['items']:,} items that current decides"
    assert first["items"] < last["items"]
    assert any(caution.startswith(less) for caution in found["cautions"])
    elsewhere = {one["name"] for one in last["by_control_point"]} - {"KRICN-EXP"}
    shown = (out / "report.html").read_text()
    assert all(f"<tr><td>{name}</td><td>-</td>" in shown for name in elsewhere), "it is not that nothing is selected"

    with pytest.raises(SystemExit) as ended:
        main([*command[:-1], "current", "--baseline", str(candidate)])
    assert ended.value.code == 0
    found = json.loads((out / "report.json").read_text())
    less = f"baseline decides {first['items']:,} of the {last['items']:,} items that candidate decides"
    assert any(caution.startswith(less) for caution in found["cautions"]), "nor is it said the other way round"


def test_what_a_simulation_cannot_try_is_said(history: Path, tmp_path: Path) -> None:
    policy = built_in_policy()
    settings = msgspec.to_builtins(policy)
    settings["lessons"]["severity"] += 1
    settings["horizons"]["alerts_days"] += 1
    settings["layers"]["surge"] = 0.1
    other = read_policy(settings)
    assert not_tried(other, policy) == ["horizons.alerts_days", "lessons.severity"]
    assert not_tried(policy, policy) == []
    shelf = tmp_path / "candidate.yaml"
    shelf.write_bytes(msgspec.json.encode(settings))
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--dir", str(history), "--out", str(tmp_path / "out"), "--policy", str(shelf)])
    assert ended.value.code == 0
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert any(one.startswith("Not tried: horizons.alerts_days, lessons.severity.") for one in found["cautions"])


def test_days_of_a_report_stand_where_their_names_do(answer: tuple[Any, str]) -> None:
    found = answer[0] if isinstance(answer[0], Simulated) else msgspec.convert(answer[0], Simulated)
    first, base = found.candidates[0], found.candidates[-1]
    late = structs.replace(first, by_day=first.by_day[3:])
    assert len(late.by_day) > 1
    drawn = page._days(late, base)
    at = {name: drawn.index(f">{name}<") for name in (one.name for one in base.by_day)}
    assert sorted(at, key=lambda name: at[name]) == [one.name for one in base.by_day]


def test_a_candidate_that_selects_nothing_is_not_told_apart(answer: tuple[Any, str]) -> None:
    found = answer[0] if isinstance(answer[0], Simulated) else msgspec.convert(answer[0], Simulated)
    first, base = found.candidates[0], found.candidates[-1]
    nothing = structs.replace(first.estimate, selected=0.0, seizure_rate=Figure(None, 0.0, 0.0))
    idle = structs.replace(found, candidates=[structs.replace(first, name="idle", estimate=nothing), base])
    policy = built_in_policy()
    question = Question(candidates=[Candidate("idle", policy), Candidate(base.name, policy)], since_ms=0, until_ms=1,
                        warm_ms=0)  # fmt: skip
    said = cautions(question, idle)
    assert said[0] == "idle selects nothing: there is no seizure rate to compare."
    assert "overlap" not in " ".join(said)
    assert report(structs.replace(idle, swept="capacity_share"), "Simulation")


def test_a_baseline_that_does_not_select_what_it_selected_then_is_told(answer: tuple[Any, str]) -> None:
    found = answer[0] if isinstance(answer[0], Simulated) else msgspec.convert(answer[0], Simulated)
    base = structs.replace(found.candidates[-1], name="current", policy="ran+1", shared=60)
    then = structs.replace(found.recorded, policies=("ran+1",), selected=100)
    found = structs.replace(found, candidates=[found.candidates[0], base], recorded=then)
    (said,) = otherwise_than_then(found)
    assert "selects 60 of the 100 items that it selected then" in said
    for other in (structs.replace(base, shared=99), structs.replace(base, policy="another+1")):
        assert not list(otherwise_than_then(structs.replace(found, candidates=[found.candidates[0], other])))


def test_choices_are_read_whatever_their_number(tmp_path: Path) -> None:
    for number in (0, 99_999, 100_000):
        (tmp_path / f"live-{number:05d}.parquet").touch()
    (tmp_path / "live-00001.writing").touch()
    (tmp_path / "live-2-00000.parquet").touch()
    names = [Path(file).name for file in files_of(tmp_path, "live")]
    assert names == ["live-00000.parquet", "live-99999.parquet", "live-100000.parquet"]


def test_what_was_known_and_is_not_archived_is_said(history: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    shutil.copytree(history, later)
    for topic in ("filtered", "decisions", "labelled-examples"):
        records = {at: read(history, topic, at) for at in Catalogue.of(history).partitions(topic)}
        shutil.rmtree(later / f"topic={topic}")
        for held in records.values():
            write(later, held[len(held) // 2 :])
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--dir", str(later), "--out", str(tmp_path / "out")])
    assert ended.value.code == 0
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert any(one.startswith("Items from before 20") for one in found["cautions"])
    assert any("lessons are not archived" in one for one in found["cautions"])
    assert found["warm_since"] >= found["since"]


def test_a_swept_policy_keeps_its_draws() -> None:
    policy = built_in_policy()
    path, (one,) = swept(Candidate("candidate", policy), "exploration=0.2")
    assert path == "layers.exploration"
    assert one.policy.layers.exploration == 0.2
    assert one.policy.draws == policy.draws


def test_a_criterion_above_its_cap_is_not_published(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.knowledge.Knowledge.published", lambda self, settings: {})
    (tmp_path / "criteria.yaml").write_text(CRITERIA)
    with pytest.raises(SystemExit) as ended:
        main(["criteria", "publish", str(tmp_path / "criteria.yaml"), "--dir", str(history)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "projected above the cap: CR-BROAD" in said
    assert "--accept-load" in said
    assert "CR-[/NARROW]: 0.0 hits a day" in said
    narrow = said.split("CR-[/NARROW]: 0.0 hits a day")[1].split("CR-BROAD: ")[0].split("projected above")[0]
    assert "0.00% of items" in narrow
    assert "most at" not in narrow  # nowhere is the most of nothing
