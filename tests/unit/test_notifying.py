"""A notifier on this machine, without a broker: what goes wrong with one alert or one receiver stays with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError, OffsetOutOfRangeError
from structlog.testing import capture_logs

from schemas.codec import ce_type_of, encode
from schemas.decisions import AlertRaised
from streams.archive.rows import Archived
from streams.centre import CentreAlert
from streams.logging import MASK, without_personal_data
from streams.notify import run, sending
from streams.notify.deadletters import Undelivered, note, now, still_undelivered
from streams.notify.plan import EmailTarget, NotifyPlan, Receiver, WebhookTarget
from streams.notify.run import Notifier, Sent, Tally, deliver, redeliver
from streams.notify.sending import NotSentError
from streams.settings import Settings
from tests.browser.centre import alert
from tests.ports import own_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the example of the Standard Webhooks specification


class MailServer:
    """Keeps what it takes; `codes` are its answers to mailboxes that it does not take (yet), one for each time."""

    def __init__(self, codes: dict[str, list[str]] | None = None) -> None:
        self.codes = codes or {}
        self.taken: list[tuple[list[str], Any]] = []
        self.goodbye = "221 bye"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        return self.goodbye

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
    server = Controller(held, hostname="127.0.0.1", port=own_port(), ready_timeout=60.0)
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
    silent_s = 0.0

    def __init__(self, *given: Any) -> None:
        self._left = list(self.alerts_to_come)

    def __enter__(self) -> Centre:
        return self

    def __exit__(self, *given: object) -> None:
        """Nothing to close."""

    def alerts(self, *, idle_s: float) -> Iterator[CentreAlert]:
        while self._left:
            yield self._left.pop(0)

    def stop(self) -> None:
        """Nothing to wait for."""

    def acknowledge(self, one: CentreAlert, *, quietly: bool) -> None:
        self.acknowledged.append(one.offset)


def notified(
    monkeypatch: pytest.MonkeyPatch, plan: NotifyPlan, alerts: Sequence[CentreAlert]
) -> tuple[Tally, list[int]]:
    """What became of these alerts, and the offsets that were acknowledged."""
    Centre.alerts_to_come, Centre.acknowledged = alerts, []
    monkeypatch.setattr(run, "CentreClient", Centre)
    return Notifier(Settings.from_environment({}), plan).run(until=lambda _: True), Centre.acknowledged


def test_a_headline_with_a_line_break_is_told_in_one_line(mail: tuple[MailServer, int]) -> None:
    server, port = mail
    receiver = mailboxes(port, "duty@example.org")
    two_lines = msgspec.structs.replace(alert(1), headline="Phones that weigh\n  next\x00 to nothing\x85")
    assert deliver(receiver, came(two_lines), plan_of(receiver), lambda _: False).why is None
    ((_, message),) = server.taken
    assert message["Subject"].endswith(": Phones that weigh next to nothing")


def test_waits_between_attempts_double_up_to_a_bound_and_are_not_in_step_with_those_of_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    receiver = hook(own_port(), tmp_path / "secret")
    plan = plan_of(receiver, attempts=6, first_wait_s=1.0, most_wait_s=5.0)

    def waited(chance: float) -> list[float]:
        waits: list[float] = []
        monkeypatch.setattr(run, "random", lambda: chance)
        assert deliver(receiver, came(alert(1)), plan, lambda wait: bool(wait) and waits.append(wait) is not None).why
        return waits

    assert waited(0.0) == [1, 2, 4, 5, 5]
    assert waited(0.5) == [0.75, 1.5, 3, 3.75, 3.75]


def test_a_secret_that_is_missing_for_a_moment_is_looked_for_again(tmp_path: Path) -> None:
    receiver = hook(own_port(), tmp_path / "secret")
    sent = deliver(receiver, came(alert(1)), plan_of(receiver), lambda _: False)
    assert (sent.attempts, sent.why) == (3, "FileNotFoundError")
    waits: list[float] = []

    def put_back(waiting: float) -> bool:
        if waiting:
            waits.append(waiting)
            (tmp_path / "secret").write_text(SECRET)
        return False

    assert deliver(receiver, came(alert(1)), plan_of(receiver), put_back).why == "URLError"  # nobody listens there
    assert len(waits) >= 2


def test_a_mail_has_a_date(mail: tuple[MailServer, int]) -> None:
    server, port = mail
    receiver = mailboxes(port, "Duty <duty@example.org>, night@example.org")
    assert deliver(receiver, came(alert(1)), plan_of(receiver), lambda _: False).why is None
    ((to, message),) = server.taken
    assert to == ["duty@example.org", "night@example.org"]
    assert abs(message["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_mailbox_that_asks_for_another_try_gets_it_and_the_others_no_second_mail(
    mail: tuple[MailServer, int],
) -> None:
    server, port = mail
    server.codes = {"grey@example.org": ["451 4.7.1 greylisted"], "full@example.org": ["452 full", "452 full"]}
    receiver = mailboxes(port, "grey@example.org", "duty@example.org", "full@example.org")
    assert deliver(receiver, came(alert(1)), plan_of(receiver), lambda _: False) == Sent(3)
    assert [to for to, _ in server.taken] == [["duty@example.org"], ["grey@example.org"], ["full@example.org"]]
    server.codes = {"grey@example.org": ["451 4.7.1 greylisted"]}
    alone = mailboxes(port, "grey@example.org")
    assert deliver(alone, came(alert(1)), plan_of(alone), lambda _: False) == Sent(2)


def test_a_mail_that_was_taken_is_not_sent_again_because_of_how_its_server_says_goodbye(
    mail: tuple[MailServer, int],
) -> None:
    server, port = mail
    server.goodbye = "421 4.3.2 shutting down"
    receiver = mailboxes(port, "duty@example.org")
    assert deliver(receiver, came(alert(1)), plan_of(receiver), lambda _: False) == Sent(1)
    assert len(server.taken) == 1


def test_a_mail_that_one_of_two_mailboxes_refuses_is_not_sent(mail: tuple[MailServer, int]) -> None:
    server, port = mail
    server.codes = {"gone@example.org": ["550 no such user"]}
    receiver = mailboxes(port, "duty@example.org", "gone@example.org")
    sent = deliver(receiver, came(alert(1)), plan_of(receiver), lambda _: False)
    assert sent == Sent(1, "SMTP code 550 for mailbox 2")
    assert [to for to, _ in server.taken] == [["duty@example.org"]]


def test_a_receiver_that_is_down_holds_up_nobody_and_what_exceeds_its_room_is_kept_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "_IN_HAND", 12)
    told: list[tuple[str, int]] = []

    def sending_to(receiver: Receiver, one: CentreAlert, plan: NotifyPlan) -> None:
        if receiver.name == "down":
            raise NotSentError("TimeoutError", again=True)
        told.append((receiver.name, one.offset))

    monkeypatch.setattr(run, "send", sending_to)
    secret = tmp_path / "secret"
    plan = plan_of(hook(9, secret, "down"), hook(9, secret), dead_letters=str(tmp_path / "dead.jsonl"))
    began = time.monotonic()
    tally, acknowledged = notified(
        monkeypatch, msgspec.structs.replace(plan, attempts=2, first_wait_s=2.0), [came(alert(1), n) for n in range(60)]
    )
    assert sorted(told) == [("hook", n) for n in range(60)]
    assert sorted(acknowledged) == list(range(60))
    assert (tally.told, tally.failed) == (60, 60)
    kept = still_undelivered(tmp_path / "dead.jsonl")
    assert sorted(one.offset for one in kept) == list(range(60))
    assert "12 others wait for it, and it takes none" in {one.why for one in kept}
    assert time.monotonic() - began < 60 / run._THREADS * 2.0  # what waits for the next attempt is not waited for


def test_a_healthy_receiver_is_told_while_another_one_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = threading.Event()

    def sending_to(receiver: Receiver, one: CentreAlert, plan: NotifyPlan) -> None:
        if receiver.name == "hook" and one.offset == 39:
            told.set()
        if receiver.name == "down" and not told.wait(60):  # as many as there are hang until the healthy one has all
            raise AssertionError("the healthy receiver had to wait")

    monkeypatch.setattr(run, "send", sending_to)
    plan = plan_of(hook(9, tmp_path / "s", "down"), hook(9, tmp_path / "s"), dead_letters=str(tmp_path / "dead.jsonl"))
    tally, _ = notified(monkeypatch, plan, [came(alert(1), n) for n in range(40)])
    assert (tally.told, tally.failed) == (80, 0)


def test_the_log_says_why_somebody_was_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    plan = plan_of(hook(own_port(), tmp_path / "secret"), dead_letters=str(tmp_path / "dead.jsonl"))
    with capture_logs() as said:
        notified(monkeypatch, plan, [came(alert(1))])
    (line,) = [without_personal_data(None, "error", line) for line in said if line["log_level"] == "error"]
    (kept,) = still_undelivered(tmp_path / "dead.jsonl")
    assert line["failure"] == kept.why
    assert MASK not in line.values()


def test_a_notifier_to_which_brokers_do_not_answer_ends_and_what_is_under_way_ends_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Silent(Centre):
        """Brokers that handed over an alert, and were not heard of again."""

        @property
        def silent_s(self) -> float:  # type: ignore[override]
            return 31.0

    Silent.alerts_to_come, Silent.acknowledged = [came(alert(1))], []
    monkeypatch.setattr(run, "CentreClient", Silent)
    monkeypatch.setattr(run, "send", lambda *_: time.sleep(0.2))
    notifier = Notifier(Settings.from_environment({}), plan_of(hook(9, tmp_path / "secret")))
    with pytest.raises(KafkaTimeoutError, match="the brokers have not answered for 31 s"):
        notifier.run()
    assert (notifier.tally.told, Silent.acknowledged) == (1, [0])


def test_the_log_says_how_many_alerts_nobody_was_told_of_because_they_came_too_late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = plan_of(hook(9, tmp_path / "secret"))
    with capture_logs() as said:
        tally, acknowledged = notified(monkeypatch, plan, [came(alert(n, minutes_left=-5), n) for n in range(3)])
    assert (tally.expired, acknowledged) == (3, [0, 1, 2])
    assert [line["count"] for line in said if "deadline had passed" in line["event"]] == [3]


def test_what_has_ended_is_noted_while_alerts_follow_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Busy(Centre):
        """Alerts that follow each other until the first is acknowledged, or for long."""

        def alerts(self, *, idle_s: float) -> Iterator[CentreAlert]:
            began, offset = time.monotonic(), 0
            while not self.acknowledged and time.monotonic() - began < 20:
                yield came(alert(1), offset)
                offset += 1
                time.sleep(0.1)

    monkeypatch.setattr(Busy, "acknowledged", [], raising=False)
    monkeypatch.setattr(run, "CentreClient", Busy)
    plan = plan_of(hook(own_port(), tmp_path / "missing"), attempts=1, dead_letters=str(tmp_path / "dead"))
    began = time.monotonic()
    Notifier(Settings.from_environment({}), plan, expired_too=True).run(until=lambda _: True)
    assert time.monotonic() - began < 15
    assert still_undelivered(tmp_path / "dead")


def test_an_alert_that_is_told_when_it_comes_again_is_not_left_as_a_dead_letter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another receiver's was open when the notifier ended: its place on the topic was not noted."""
    dead = tmp_path / "dead.jsonl"
    plan = plan_of(hook(9, tmp_path / "secret"), dead_letters=str(dead))
    for offset in (0, 1):
        failed = {"receiver": plan.receivers[0].name, "alert_id": alert(1).alert_id, "why": "HTTP status 503"}
        note(dead, Undelivered(what="failed", at=now(), partition=0, offset=offset, **failed))
    monkeypatch.setattr(run, "send", lambda *_: None)
    # Of a topic that was made anew: the alert at offset 1 is another one.
    notified(monkeypatch, plan, [came(alert(1), 0), came(alert(2), 1)])
    assert [one.offset for one in still_undelivered(dead)] == [1]


def test_a_notifier_that_is_told_to_end_begins_no_more(tmp_path: Path) -> None:
    receiver = hook(9, tmp_path / "secret")
    assert deliver(receiver, came(alert(1)), plan_of(receiver), lambda _: True) == Sent(0, stopped=True)


def test_an_alert_that_has_expired_ends_no_replay_of_those_behind_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Log:
        """An `alerts` topic that begins at offset 5."""

        def __init__(self, **_: Any) -> None:
            self.at = 0

        def assign(self, _: Any) -> None:
            """There is one partition."""

        def seek(self, _: Any, offset: int) -> None:
            self.at = offset

        def poll(self, **_: Any) -> dict[Any, Any]:
            if self.at < 5:
                raise OffsetOutOfRangeError
            one = alert(self.at)
            headers = [("ce_type", ce_type_of(type(one)).encode()), ("ce_id", None)]
            return {TopicPartition("alerts", 0): [Archived("alerts", 0, self.at, 0, b"k", encode(one), headers)]}

        def close(self) -> None:
            """Nothing to close."""

    told: list[int] = []
    monkeypatch.setattr(run, "KafkaConsumer", Log)
    monkeypatch.setattr(run, "send", lambda receiver, one, plan: told.append(one.offset))
    plan = plan_of(hook(9, tmp_path / "secret"), dead_letters=str(tmp_path / "dead.jsonl"))
    for offset in (3, 7):
        line = {"receiver": "hook", "alert_id": f"a-{offset}", "partition": 0, "offset": offset}
        note(tmp_path / "dead.jsonl", Undelivered(what="failed", at=now(), **line))  # type: ignore[arg-type]
    lines: list[str] = []
    tally = redeliver(Settings.from_environment({}), plan, None, lines.append)
    assert (tally.told, tally.failed, told) == (1, 1, [7])
    assert lines[0] == "a-3 to hook: the brokers do not hold the alert any more"


def test_an_alert_that_silent_brokers_do_not_give_is_not_called_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class SilentLog:
        """A client that is given nothing."""

        def __init__(self, **_: Any) -> None:
            """It was connected once."""

        def assign(self, _: Any) -> None:
            """There is one partition."""

        def seek(self, _: Any, offset: int) -> None:
            """Nobody hears of it."""

        def poll(self, **_: Any) -> dict[Any, Any]:
            return {}

        def close(self) -> None:
            """Nothing to close."""

    monkeypatch.setattr(run, "KafkaConsumer", SilentLog)
    plan = plan_of(hook(9, tmp_path / "secret"), dead_letters=str(tmp_path / "dead.jsonl"))
    line = {"receiver": "hook", "alert_id": "a-3", "partition": 0, "offset": 3}
    note(tmp_path / "dead.jsonl", Undelivered(what="failed", at=now(), **line))  # type: ignore[arg-type]
    lines: list[str] = []
    assert redeliver(Settings.from_environment({}), plan, None, lines.append).failed == 1
    assert lines == ["a-3 to hook: the brokers do not answer"]


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
