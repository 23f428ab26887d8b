"""Brokers that are away are asked again after pauses that grow to a second, not ten times a second by every loop."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, client
from aiokafka.errors import KafkaTimeoutError, SaslAuthenticationFailed
from aiokafka.structs import BrokerMetadata
from structlog import get_logger
from structlog.testing import capture_logs

from streams import reconnecting
from streams.cli import refusal_line
from streams.commands import loud_stop
from streams.reconnecting import FIRST_S, MOST_S, PatientClient, latest_refusal, latest_unsaid, pause_s
from tests.tls import broker_with_certificate


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


def noted(address: str, context: ssl.SSLContext) -> tuple[str, str]:
    """What is noted of a broker that lets nobody in: as a refusal, and as what may be one."""

    async def scenario() -> None:
        host, _, port = address.rpartition(":")
        asking = PatientClient(bootstrap_servers=address, security_protocol="SSL", ssl_context=context)
        asking.cluster._brokers = {7: BrokerMetadata(7, host, int(port), None)}
        assert not await asking.ready(7)

    asyncio.run(scenario())
    refusal, unsaid = latest_refusal(), latest_unsaid()
    return refusal.said if refusal else "", unsaid.said if unsaid else ""


@pytest.fixture
def _nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnecting, "_latest", None)
    monkeypatch.setattr(reconnecting, "_latest_unsaid", None)


def nobody(_authority: trustme.CA, _context: ssl.SSLContext) -> None:
    """A client without a certificate."""


def stranger(_authority: trustme.CA, context: ssl.SSLContext) -> None:
    """One whose certificate is of somebody else."""
    trustme.CA().issue_cert("client.example").configure_cert(context)


def of_yesterday(authority: trustme.CA, context: ssl.SSLContext) -> None:
    """One whose certificate has expired."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    began = yesterday - timedelta(days=9)
    authority.issue_cert("client.example", not_before=began, not_after=yesterday).configure_cert(context)


@pytest.mark.usefixtures("_nothing_noted")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("who", "alert"),
    [(nobody, ("certificate required", "handshake failure")), (stranger, ("unknown ca",)),
     (of_yesterday, ("certificate expired",))],
)  # fmt: skip
def test_a_certificate_that_is_refused_is_noted_with_the_alert_also_when_that_comes_after_the_handshake(
    tmp_path: Path,
    who: Callable[[trustme.CA, ssl.SSLContext], None],
    alert: tuple[str, ...],
    version: ssl.TLSVersion,
) -> None:
    authority, context = trustme.CA(), ssl.create_default_context()
    context.minimum_version = context.maximum_version = version
    authority.configure_trust(context)
    who(authority, context)
    with broker_with_certificate(tmp_path, authority=authority, demands=True) as (address, _):
        refused, unsaid = noted(address, context)
    assert any(one in refused for one in alert), refused
    assert unsaid == ""
    after = f"{address} closes the connection after the TLS handshake, most likely because of this client's certificate"
    assert refused.startswith(after) == (version == ssl.TLSVersion.TLSv1_3)


@pytest.mark.usefixtures("_nothing_noted")
def test_a_connection_that_is_closed_after_the_handshake_without_an_alert_may_be_an_outage(tmp_path: Path) -> None:
    with broker_with_certificate(tmp_path) as (address, authorities):
        refused, unsaid = noted(address, ssl.create_default_context(cafile=authorities))
    assert refused == ""
    assert unsaid.startswith(f"{address} closes the connection after the TLS handshake without a word: ")


@pytest.mark.usefixtures("_nothing_noted")
@pytest.mark.parametrize("farewell", [b"", bytes.fromhex("15030300020100")], ids=["none", "close_notify"])
def test_a_broker_that_stops_in_the_midst_of_the_handshake_refuses_nobody(farewell: bytes) -> None:
    async def stop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(farewell)
        writer.close()

    async def scenario() -> bool:
        async with await asyncio.start_server(stop, "127.0.0.1", 0) as stopping:
            port = stopping.sockets[0].getsockname()[1]
            asking = PatientClient(security_protocol="SSL", ssl_context=ssl.create_default_context())
            asking.cluster._brokers = {7: BrokerMetadata(7, "127.0.0.1", port, None)}
            return bool(await asking.ready(7))

    assert not asyncio.run(scenario())
    assert (latest_refusal(), latest_unsaid()) == (None, None)


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
    assert (said in (refusal_line(error) or "")) == told
    assert (ended.value.code, line["event"], said in line["error"]) == (1, "it stops", told)
    assert str(error) in line["error"]
