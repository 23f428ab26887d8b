"""Criteria and risk information are published, listed and withdrawn on a real broker."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from schemas.knowledge import CriterionPublished
from streams.commands import CommandRefusedError
from streams.commands import criteria as criteria_command
from streams.commands import risk_info as risk_info_command
from streams.settings import Settings
from streams.topics import create_topics

pytestmark = pytest.mark.broker


@pytest.fixture
def environment(worker_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in worker_environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    create_topics(settings)
    return settings


def test_a_criterion_is_published_changed_and_withdrawn(
    environment: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"CR-{time.time_ns()}"
    file = tmp_path / "criterion.yaml"
    text = f"criterion_id: {name}\nversion: 1\ntitle: t\nstreams: [passengers]\ncondition: one_way\naction: direct\n"
    file.write_text(text)
    criteria_command.publish(file)
    with pytest.raises(CommandRefusedError, match="version: 1 is not above 1"):
        criteria_command.publish(file)
    file.write_text(text.replace("version: 1", "version: 2").replace("one_way", "one_way and bags == 0"))
    criteria_command.publish(file)
    capsys.readouterr()
    criteria_command.list_(as_json=True)
    (listed,) = [one for one in json.loads(capsys.readouterr().out) if one["criterion_id"] == name]
    assert (listed["version"], listed["condition"]) == (2, "one_way and bags == 0")
    criteria_command.withdraw(name)
    with pytest.raises(CommandRefusedError, match="was withdrawn with version 3"):
        criteria_command.withdraw(name)
    capsys.readouterr()
    criteria_command.list_()
    assert name not in capsys.readouterr().out


def test_what_has_ended_already_is_said_to_have(
    environment: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry, file = f"WL-{time.time_ns()}", tmp_path / "entries.yaml"
    file.write_text(
        f"entry_id: {entry}\nversion: 1\nkind: watchlist\nstreams: [passengers]\ndocuments: [M1]\n"
        "valid_from: 2026-01-01\nvalid_until: 2026-04-01\n"
    )
    risk_info_command.publish(file)
    assert f"published {entry} version 1, valid 2026-01-01 - 2026-04-01 (over)\n" in capsys.readouterr().out
    risk_info_command.list_()
    (listed,) = [line for line in capsys.readouterr().out.splitlines() if entry in line]
    assert "2026-01-01 - 2026-04-01 (over)" in listed
    risk_info_command.withdraw(entry)


def test_a_file_in_which_nothing_is_new_is_said_to_be_one(
    environment: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    criterion, entry = f"CR-{time.time_ns()}", f"WL-{time.time_ns()}"
    rules, people = tmp_path / "criteria.yaml", tmp_path / "entries.yaml"
    rules.write_text(
        f"criterion_id: {criterion}\nversion: 1\ntitle: t\nstreams: [passengers]\ncondition: one_way\naction: direct\n"
    )
    people.write_text(f"entry_id: {entry}\nversion: 1\nkind: watchlist\nstreams: [passengers]\ndocuments: [M1]\n")
    criteria_command.publish(rules, new_only=True)
    risk_info_command.publish(people, new_only=True)
    told = capsys.readouterr().out
    assert f"published {criterion} version 1, valid " in told
    assert f"published {entry} version 1, valid " in told
    assert "(over)" not in told
    criteria_command.publish(rules, new_only=True)
    risk_info_command.publish(people, new_only=True)
    told = [f"nothing in {file} is new, and nothing was published" for file in (rules, people)]
    assert capsys.readouterr().out.splitlines() == told
    criteria_command.withdraw(criterion)
    risk_info_command.withdraw(entry)


def test_of_two_who_publish_one_version_at_once_one_is_told(environment: Settings) -> None:
    mine = CriterionPublished(
        criterion_id=f"CR-{time.time_ns()}",
        version=2,
        title="mine",
        streams=("passengers",),
        condition="one_way",
        action="direct",
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    topic = criteria_command.criteria
    topic.send(environment, [mine])
    topic.send(environment, [mine])  # the same once more: nothing of anybody was lost
    with pytest.raises(
        CommandRefusedError, match=r"somebody else published version 2 .* yours is in force; publish version 3"
    ):
        topic.send(environment, [replace(mine, title="theirs")])
    with pytest.raises(CommandRefusedError, match="version 2 at the same time, and yours is in force"):
        topic.send(environment, [replace(mine, version=1)])
    topic.send(environment, [replace(mine, version=3)])
    topic.withdraw(environment, mine.criterion_id)


def test_a_change_without_a_date_keeps_the_date_of_what_it_changes(
    environment: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"WL-{time.time_ns()}"
    file = tmp_path / "entries.yaml"
    text = f"entry_id: {name}\nversion: 1\nkind: watchlist\nstreams: [passengers]\ndocuments: [M1]\n"
    file.write_text(text + "valid_from: 2020-01-01\nvalid_until: 2999-12-31\n")
    risk_info_command.publish(file)
    capsys.readouterr()
    risk_info_command.list_()
    assert "2020-01-01 - 2999-12-31" in capsys.readouterr().out
    file.write_text(text.replace("version: 1", "version: 2"))
    risk_info_command.publish(file)
    capsys.readouterr()
    risk_info_command.list_(as_json=True)
    (listed,) = [one for one in json.loads(capsys.readouterr().out) if one["entry_id"] == name]
    assert (listed["version"], listed["valid_from"]) == (2, "2020-01-01T00:00:00Z")
    risk_info_command.withdraw(name)


def test_a_criterion_that_workers_leave_out_is_listed_as_such(
    environment: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    event = CriterionPublished(
        criterion_id=f"CR-{time.time_ns()}",
        version=1,
        title="published by another program",
        streams=("passengers",),
        condition="colour == 1 \x1b[2J",
        action="direct",
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    criteria_command.criteria.send(environment, [event])
    capsys.readouterr()
    criteria_command.list_()
    said = capsys.readouterr().out
    assert "workers leave it out" in " ".join(said.split())
    assert "\x1b" not in said  # a terminal does not obey another program's condition
    criteria_command.withdraw(event.criterion_id)


def test_risk_information_is_listed_without_its_names(
    environment: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"WL-{time.time_ns()}"
    file = tmp_path / "entries.yaml"
    file.write_text(
        f"entry_id: {name}\nversion: 1\nkind: watchlist\nstreams: [express-cargo]\nparty_names: [Bonbogi Trading]\n"
    )
    risk_info_command.publish(file)
    capsys.readouterr()
    risk_info_command.list_()
    shown = capsys.readouterr().out
    assert name in shown
    assert "Bonbogi" not in shown
    risk_info_command.withdraw(name)
