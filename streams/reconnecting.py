"""A client of the brokers tries one that is away again after a pause that grows to a second, and never in step.

aiokafka tries after 100 ms for as long as an outage lasts, and so does each of a client's loops: a worker began some
40 connections a second, a console 60, with TLS as many handshakes. kafka-python and Kafka's own clients pause too.
"""

from __future__ import annotations

from random import random
from ssl import SSLError, SSLZeroReturnError
from time import monotonic
from typing import Any, Final, NamedTuple

from aiokafka import client
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import create_conn
from aiokafka.consumer import consumer
from aiokafka.errors import AuthenticationFailedError, KafkaConnectionError, SaslAuthenticationFailed
from aiokafka.producer import producer

FIRST_S: Final = 0.1
MOST_S: Final = 1.0
_DOUBLED: Final = 4


def pause_s(failures: int, chance: float) -> float:
    """How long to leave a broker alone after so many failures in a row. `chance` (0 to 1) takes off up to a half."""
    return min(MOST_S, FIRST_S * 2.0 ** min(failures - 1, _DOUBLED)) * (1 - chance / 2)


class Refusal(NamedTuple):
    """A broker did not let this process in: at which `monotonic` second, and what is known of why."""

    at: float
    said: str


_latest: Refusal | None = None
_latest_unsaid: Refusal | None = None


def latest_refusal() -> Refusal | None:
    """The latest refusal of this process's user or certificate, None when there was none."""
    return _latest


def latest_unsaid() -> Refusal | None:
    """The latest connection that was closed after the TLS handshake without a word: a refusal, or an outage."""
    return _latest_unsaid


async def connect(host: Any, port: Any, **options: Any) -> Any:
    """aiokafka's `create_conn`, which notes a refusal.

    Under TLS 1.3 the handshake is over for a client before a broker has looked at its certificate. A refusal is then an
    alert in the place of the first answer, which aiokafka takes for a connection that was closed. Without an alert a
    refusal cannot be told from a broker that stops, nor from a load balancer that has none. Kafka's own clients draw
    the line there too; Kafka 4.3 sent an alert to each of 360 clients that it refused, and none as it was stopped
    three times.
    """
    global _latest, _latest_unsaid
    try:
        return await create_conn(host, port, **options)
    except SSLZeroReturnError:  # a broker that stops, in the midst of the handshake
        raise
    except (SaslAuthenticationFailed, AuthenticationFailedError, SSLError) as refused:
        _latest = Refusal(monotonic(), str(refused))
        raise
    except KafkaConnectionError as closed:
        if options.get("ssl_context") is None:
            raise
        said = f"{host}:{port} closes the connection after the TLS handshake"
        if isinstance(alert := closed.__cause__, SSLError):
            said = f"{said}, most likely because of this client's certificate: {alert}"
            _latest = Refusal(monotonic(), said)
        else:
            said = f"{said} without a word: it stops, has no broker behind it, or refuses this client's certificate"
            _latest_unsaid = Refusal(monotonic(), said)
        raise KafkaConnectionError(said) from closed


class PatientClient(AIOKafkaClient):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's client. In a pause it says what it does when a connection fails: that there is none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._away: dict[Any, tuple[int, float]] = {}

    async def _get_conn(self, node_id: Any, *, group: Any = ConnectionGroup.DEFAULT, no_hint: bool = False) -> Any:
        failures, until = self._away.get(node_id, (0, 0.0))
        held = self._conns.get((node_id, group))
        if monotonic() < until and not (held is not None and held.connected()):
            self.force_metadata_update()  # others may lead by now
            return None
        found = await super()._get_conn(node_id, group=group, no_hint=no_hint)
        if found is None:
            self._away[node_id] = failures + 1, monotonic() + pause_s(failures + 1, random())  # noqa: S311 - no secret
        else:
            self._away.pop(node_id, None)
        return found


client.create_conn = connect
consumer.AIOKafkaClient = PatientClient
producer.AIOKafkaClient = PatientClient
