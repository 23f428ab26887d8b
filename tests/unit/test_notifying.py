"""A notifier on this machine, without a broker: what goes wrong with one alert or one receiver stays with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller

from schemas.decisions import AlertRaised
from streams.centre import CentreAlert
from streams.embedded import free_loopback_port
from streams.notify import run, sending
from streams.notify.deadletters import still_undelivered
from streams.notify.plan import EmailTarget, NotifyPlan, Receiver, WebhookTarget
from streams.notify.run import Notifier, Tally, deliver
from tests.browser.centre import alert

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the example of the Standard Webhooks specification


class MailServer:
    """Keeps what it takes; `codes` are its answers to mailboxes that it does not take (yet), one for each time."""

    def __init__(self, codes: dict[str, list[str]] | None = None) -> None:
        self.codes = codes or {}
        self.taken: list[tuple[list[str], Any]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.codes.get(address):
            return self.codes[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.taken.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content, policy=default)))
        return "250 taken"


@pytest.fixture
def mail() -> Iterator[tuple[MailServer, int]]:
    """A mail server and its port."""
    held = MailServer()
    server = Controller(held, hostname="127.0.0.1", port=free_loopback_port())
    server.start()
    yield held, server.port
    server.stop()


def mailboxes(port: int, *to: str) -> Receiver:
    """A receiver by mail."""
    email = EmailTarget(to=to, sender="borderflow@example.org", host="127.0.0.1", port=port, starttls=False)
    return Receiver(name="mail", email=email)


def hook(port: int, secret_file: Path, name: str = "hook") -> Receiver:
    """A receiver by webhook, told of everything."""
    target = WebhookTarget(url=f"http://127.0.0.1:{port}/", secret_file=str(secret_file))
    return Receiver(name=name, priority=5, webhook=target)


def plan_of(*receivers: Receiver, **more: Any) -> NotifyPlan:
    """A plan that does not wait long."""
    return NotifyPlan(receivers=receivers, **{"attempts": 3, "first_wait_s": 0.01, **more})


def came(event: AlertRaised, offset: int = 0) -> CentreAlert:
    """An alert as the client hands it over."""
    return CentreAlert(event, f"ce-{offset}", 0, offset)


class Centre:
    """In place of the client: hands these alerts over once and keeps what is acknowledged."""

    alerts_to_come: Sequence[CentreAlert] = ()
    acknowledged: list[int]

    def __init__(self, *given: Any) -> None:
        self._left = list(self.alerts_to_come)

    def __enter__(self) -> Centre:
        return self

    def __exit__(self, *given: object) -> None:
        """Nothing to close."""

    def alerts(self, *, idle_s: float) -> Iterator[CentreAlert]:
        while self._left:
            yield self._left.pop(0)

    def acknowledge(self, one: CentreAlert, *, quietly: bool) -> None:
        self.acknowledged.append(one.offset)


def notified(
    monkeypatch: pytest.MonkeyPatch, plan: NotifyPlan, alerts: Sequence[CentreAlert]
) -> tuple[Tally, list[int]]:
    """What became of these alerts, and the offsets that were acknowledged."""
    Centre.alerts_to_come, Centre.acknowledged = alerts, []
    monkeypatch.setattr(run, "CentreClient", Centre)
    settings: Any = None
    return Notifier(settings, plan).run(until=lambda _: True), Centre.acknowledged


def test_a_headline_with_a_line_break_is_told_in_one_line(mail: tuple[MailServer, int]) -> None:
    server, port = mail
    receiver = mailboxes(port, "duty@example.org")
    two_lines = msgspec.structs.replace(alert(1), headline="Phones that weigh\n  next\x00 to nothing\x85")
    assert deliver(receiver, came(two_lines), plan_of(receiver), lambda _: False).why is None
    ((_, message),) = server.taken
    assert message["Subject"].endswith(": Phones that weigh next to nothing")


def test_a_secret_that_is_missing_for_a_moment_is_looked_for_again(tmp_path: Path) -> None:
    receiver = hook(free_loopback_port(), tmp_path / "secret")
    sent = deliver(receiver, came(alert(1)), plan_of(receiver), lambda _: False)
    assert (sent.attempts, sent.why) == (3, "FileNotFoundError")
    waits: list[float] = []

    def put_back(waiting: float) -> bool:
        waits.append(waiting)
        (tmp_path / "secret").write_text(SECRET)
        return False

    assert deliver(receiver, came(alert(1)), plan_of(receiver), put_back).why == "URLError"  # nobody listens there
    assert len(waits) >= 2


def test_an_alert_that_cannot_be_told_is_kept_and_those_behind_it_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, mail: tuple[MailServer, int]
) -> None:
    _, port = mail
    receiver = msgspec.structs.replace(mailboxes(port, "duty@example.org"), priority=5)
    plan = plan_of(receiver, dead_letters=str(tmp_path / "dead.jsonl"))
    make = sending.notification

    def stumbling(one: CentreAlert, plan: NotifyPlan) -> dict[str, Any]:
        if one.offset == 0:
            raise KeyError("HONG GILDONG")
        return make(one, plan)

    monkeypatch.setattr(sending, "notification", stumbling)
    tally, acknowledged = notified(monkeypatch, plan, [came(alert(1), 0), came(alert(2), 1)])
    assert (tally.failed, tally.told, sorted(acknowledged)) == (1, 1, [0, 1])
    (kept,) = still_undelivered(tmp_path / "dead.jsonl")
    assert (kept.offset, kept.attempts, kept.why) == (0, 1, "KeyError")
    said = "".join(capsys.readouterr())
    assert "test_notifying.py" in said
    assert "HONG" not in said
