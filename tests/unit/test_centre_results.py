"""What a centre's program gets wrong is refused by its name: nothing is sent that is refused or learnt wrong."""

from __future__ import annotations

from typing import Any

import pytest

from streams.centre import CentreAlert, CentreClient
from streams.results import ResultRefusedError
from streams.settings import Settings
from tests.border import DESK
from tests.browser.centre import alert


def centre(monkeypatch: pytest.MonkeyPatch, system: str = "test") -> tuple[CentreClient, list[Any]]:
    """A client that is not connected, and what it sends."""
    client, sent = CentreClient(Settings.from_environment({}), system, (DESK,)), list[Any]()
    monkeypatch.setattr(client, "_send", lambda *given: sent.append(given))
    return client, sent


def came() -> CentreAlert:
    """An alert as the client hands it over."""
    return CentreAlert(alert(1), "ce-1", 0, 0)


def test_one_control_point_given_as_a_text_is_refused_rather_than_never_hear_of_an_alert() -> None:
    with pytest.raises(ValueError, match="control_points: a list"):
        CentreClient(Settings.from_environment({}), "test", DESK)


def test_a_system_whose_name_no_reader_takes_acknowledges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    client, sent = centre(monkeypatch, "x" * 33)
    with pytest.raises(ValueError, match="system: 32 characters at most"):
        client.acknowledge(came())
    client.acknowledge(came(), quietly=True)  # a notifier's name may be longer: nobody reads it
    assert sent == []
    client, sent = centre(monkeypatch, "x" * 32)
    client.acknowledge(came())
    assert [topic for topic, *_ in sent] == ["casework"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"categories": "narcotics"}, "categories"),
        ({"categores": ["narcotics"]}, "categores"),
        ({"event": "x"}, "event"),
    ],
)
def test_what_a_result_would_lose_or_teach_wrong_is_refused_by_its_field(
    given: dict[str, Any], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, sent = centre(monkeypatch)
    with pytest.raises(ResultRefusedError) as refused:
        client.report(came(), outcome="seizure", method="x-ray", **given)
    assert (refused.value.field, sent) == (field, [])
