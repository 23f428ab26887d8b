"""Models are promoted, frozen and rolled back on a real broker, by events that every worker folds."""

from __future__ import annotations

import json

import pytest

from streams import model_log
from streams.commands import CommandRefusedError
from streams.commands import models as models_command
from streams.settings import Settings
from streams.topics import TopicsUnfitError, create_topics

pytestmark = pytest.mark.broker


def test_a_promotion_a_freeze_and_a_rollback_stand_in_the_log(
    worker_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in worker_environment.items():
        monkeypatch.setenv(name, value)
    create_topics(Settings.from_environment())

    def manifests() -> dict[str, object]:
        capsys.readouterr()
        models_command.list_(as_json=True)
        rows: list[dict[str, object]] = json.loads(capsys.readouterr().out)["streams"]
        return next(row for row in rows if row["stream"] == "manifests")

    models_command.promote("manifests", "forgetful", by="analyst", why="ahead for a month")
    promoted = manifests()
    assert promoted["decides"] == "forgetful"
    assert promoted["follows"] == "yes"
    models_command.freeze("manifests", by="analyst")
    assert manifests()["follows"] == "no"
    models_command.promote("manifests", "forgetful", by="analyst", why="thaws it")
    thawed = manifests()
    assert thawed["follows"] == "yes"
    since = thawed["since"]
    assert isinstance(since, int)
    models_command.rollback("manifests", since, by="analyst")
    assert (manifests()["since"], manifests()["follows"]) == (since, "no")
    models_command.promote("manifests", "forgetful", by="analyst", why="follows the log again")
    assert manifests()["follows"] == "yes"
    with pytest.raises(CommandRefusedError, match="cannot be rolled back to 987654"):
        models_command.rollback("manifests", 987654)
    with pytest.raises(CommandRefusedError, match="there is no model"):
        models_command.promote("manifests", "oracle")
    for wrong, field in (({"why": "w" * 2001}, "why"), ({"by": ""}, "by"), ({"by": "b" * 97}, "by")):
        with pytest.raises(CommandRefusedError, match=f"--{field}: "):
            models_command.freeze("manifests", **wrong)
    models_command.compare("manifests", as_json=True)
    assert {one["model"] for one in json.loads(capsys.readouterr().out)} == {"linear", "forgetful", "grove"}
    models_command.compare("manifests")
    assert "with so few finds the ranking says nothing yet" in capsys.readouterr().out
    models_command.fairness_(as_json=True)
    assert json.loads(capsys.readouterr().out) == []  # nobody was drawn yet


def test_without_the_topic_nothing_is_waited_for_and_the_topic_is_named(
    worker_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in worker_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(model_log, "TOPIC", f"{worker_environment['BORDERFLOW_GROUP']}-labelled-examples")
    with pytest.raises(TopicsUnfitError, match=r"no such topic: .*labelled-examples"):
        models_command.freeze("manifests", by="analyst")
