"""Brokers that are away are asked again after pauses that grow to a second, not ten times a second by every loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, client
from aiokafka.errors import KafkaTimeoutError, SaslAuthenticationFailed
from aiokafka.structs import BrokerMetadata
from structlog import get_logger
from structlog.testing import capture_logs

from streams import reconnecting
from streams.commands import loud_stop
from streams.reconnecting import FIRST_S, MOST_S, PatientClient, latest_refusal, pause_s


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Open:
    """A connection that is there."""

    def connected(self) -> bool:
        return True


def test_a_pause_grows_to_a_second_and_stays_there_and_chance_takes_off_up_to_a_half() -> None:
    assert [pause_s(failures, 0.0) for failures in (1, 2, 3, 4, 5, 6)] == [FIRST_S, 0.2, 0.4, 0.8, MOST_S, MOST_S]
    assert pause_s(100_000, 0.0) == MOST_S
    assert pause_s(100_000, 1.0) == MOST_S / 2


def test_a_broker_that_is_away_is_tried_once_a_second_and_used_as_soon_as_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, tried, back_at = Clock(), list[float](), 60.0

    async def connect(host: str, port: int, **options: Any) -> Open:
        tried.append(clock.now)
        if clock.now < back_at:
            raise ConnectionRefusedError
        return Open()

    monkeypatch.setattr(client, "create_conn", connect)
    monkeypatch.setattr(reconnecting, "monotonic", clock)

    async def scenario() -> list[float]:
        asking = PatientClient(bootstrap_servers="broker:9092")
        asking.cluster._brokers = {7: BrokerMetadata(7, "broker", 9092, None)}
        answered = []
        for turn in range(620):  # a loop that looks every 100 ms, as aiokafka's do
            clock.now = turn / 10
            if await asking.ready(7):
                answered.append(clock.now)
        return answered

    answered = asyncio.run(scenario())
    outage = [at for at in tried if at < back_at]
    assert 60 <= len(outage) <= 125
    assert len(tried) == len(outage) + 1  # one connection, and it is kept
    assert back_at <= answered[0] <= back_at + MOST_S + 0.1
    assert answered[1:] == [turn / 10 for turn in range(round(answered[0] * 10) + 1, 620)]


def test_every_client_of_this_process_is_one_that_pauses() -> None:
    async def scenario() -> list[type]:
        return [type(AIOKafkaConsumer()._client), type(AIOKafkaProducer().client)]

    assert asyncio.run(scenario()) == [PatientClient, PatientClient]


def test_who_is_refused_is_noted_and_who_is_away_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception] = [ConnectionRefusedError("nobody"), SaslAuthenticationFailed("invalid credentials")]

    async def connect(*where: Any, **options: Any) -> Open:
        raise answers.pop(0)

    monkeypatch.setattr(reconnecting, "create_conn", connect)
    monkeypatch.setattr(reconnecting, "_latest", None)
    monkeypatch.setattr(reconnecting, "pause_s", lambda failures, chance: 0.0)

    async def scenario() -> list[str | None]:
        asking = PatientClient(bootstrap_servers="broker:9092")
        asking.cluster._brokers = {7: BrokerMetadata(7, "broker", 9092, None)}
        noted: list[str | None] = []
        while answers:
            assert not await asking.ready(7)
            noted.append(refusal.said if (refusal := latest_refusal()) else None)
        return noted

    away, refused = asyncio.run(scenario())
    assert away is None
    assert refused is not None
    assert "invalid credentials" in refused


@pytest.mark.parametrize(
    ("error", "ago_s", "told"),
    [
        (KafkaTimeoutError("Failed to get offsets"), 1.0, True),
        (KafkaTimeoutError("Failed to get offsets"), 120.0, False),
        (OSError("no room"), 1.0, False),
    ],
    ids=["refused", "let in since", "of a disk"],
)
def test_who_is_refused_ends_with_what_was_refused(
    error: Exception, ago_s: float, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clients say that nobody answered, and no more."""
    refusal = reconnecting.Refusal(time.monotonic() - ago_s, "invalid credentials")
    monkeypatch.setattr(reconnecting, "_latest", refusal)
    with capture_logs() as lines, pytest.raises(SystemExit) as ended, loud_stop(get_logger(), "it stops", OSError):
        raise error
    (line,) = lines
    said = "the brokers do not let it in (invalid credentials)"
    assert (ended.value.code, line["event"], said in line["error"]) == (1, "it stops", told)
    assert str(error) in line["error"]
