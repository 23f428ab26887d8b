"""A client of the brokers tries one that is away again after a pause that grows to a second, and never in step.

aiokafka tries after 100 ms for as long as an outage lasts, and so does each of a client's loops: a worker began some
40 connections a second, a console 60, with TLS as many handshakes. kafka-python and Kafka's own clients pause too.
"""

from __future__ import annotations

from random import random
from ssl import SSLError
from time import monotonic
from typing import Any, Final, NamedTuple

from aiokafka import client
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import create_conn
from aiokafka.consumer import consumer
from aiokafka.errors import AuthenticationFailedError, SaslAuthenticationFailed
from aiokafka.producer import producer

FIRST_S: Final = 0.1
MOST_S: Final = 1.0
_DOUBLED: Final = 4


def pause_s(failures: int, chance: float) -> float:
    """How long to leave a broker alone after so many failures in a row. `chance` (0 to 1) takes off up to a half."""
    return min(MOST_S, FIRST_S * 2.0 ** min(failures - 1, _DOUBLED)) * (1 - chance / 2)


class Refusal(NamedTuple):
    """A broker did not let this process in: at which `monotonic` second, and what it said."""

    at: float
    said: str


_latest: Refusal | None = None


def latest_refusal() -> Refusal | None:
    """The latest refusal of this process's user or certificate, None when there was none."""
    return _latest


async def _connect(*where: Any, **options: Any) -> Any:
    """aiokafka's `create_conn`, which notes a refusal."""
    global _latest
    try:
        return await create_conn(*where, **options)
    except (SaslAuthenticationFailed, AuthenticationFailedError, SSLError) as refused:
        _latest = Refusal(monotonic(), str(refused))
        raise


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


client.create_conn = _connect
consumer.AIOKafkaClient = PatientClient
producer.AIOKafkaClient = PatientClient
