"""Notifications on a real broker, to a webhook receiver and a mail server on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest
from aiosmtpd.controller import Controller
from kafka.errors import KafkaTimeoutError
from standardwebhooks import Webhook

from schemas.decisions import AlertRaised
from streams.embedded import EmbeddedBroker
from streams.notify.deadletters import still_undelivered
from streams.notify.plan import NotifyPlan, read_plan
from streams.notify.run import Notifier, Tally, redeliver
from streams.settings import Settings
from streams.topics import create_topics
from tests.border import DESK
from tests.browser.centre import alert, record
from tests.integration.border import Border, border
from tests.integration.harbour import PATIENCE_S, ROOT, publisher
from tests.ports import own_port

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]
FENCES = count()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the example of the specification


class Receiver:
    """A webhook receiver that checks signatures and answers what it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[int] = []
        held = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = held.answers.pop(0) if held.answers else 204
                if status < 300:
                    told = Webhook(SECRET).verify(body, dict(self.headers))
                    held.got.append((self.headers["webhook-id"], told))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *given: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Mailbox:
    """An SMTP handler that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.messages.append(message_from_bytes(envelope.content, policy=default))
        return "250 taken"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Border]:
    """A broker with its topics; no worker is needed."""
    with border(tmp_path_factory.mktemp("notify")) as made:
        made.open()
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook receiver."""
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def plan_of(folder: Path, name: str, receivers: list[dict[str, Any]], **more: Any) -> Path:
    """A plan in a file."""
    (folder / "secret").write_text(SECRET)
    path = folder / "notify.yaml"
    path.write_bytes(msgspec.yaml.encode({"name": name, "first_wait_s": 0.05, "receivers": receivers, **more}))
    return path


def hook(folder: Path, url: str, name: str = "duty", **more: Any) -> dict[str, Any]:
    """A webhook receiver of a plan."""
    return {"name": name, "webhook": {"url": url, "secret_file": str(folder / "secret")}, **more}


def raised(at: Border, *numbers: int, **more: Any) -> list[AlertRaised]:
    """Urgent alerts with these numbers, produced."""
    made = [alert(number, layer="mandatory", **more) for number in numbers]
    at.lodge("alerts", [record(one, DESK) for one in made])
    return made


def notify(at: Border, plan: NotifyPlan) -> Tally:
    """Notify of all that was raised before: until the notifier has passed by one of no hurry, which is raised last."""
    last = 900 + next(FENCES)
    at.lodge("alerts", [record(alert(last, layer="exploration"), DESK)])
    return Notifier(at.settings, plan).run(until=lambda tally: tally.passed_by > last - 900)


def told(receiver: Receiver, alerts: list[AlertRaised]) -> list[str]:
    """The ids of these alerts that a receiver was told of, in order, repeats too."""
    wanted = {one.alert_id for one in alerts}
    return [said["data"]["alert_id"] for _, said in receiver.got if said["data"]["alert_id"] in wanted]


def test_an_urgent_alert_is_told_once_signed_and_names_nobody(at: Border, tmp_path: Path, receiver: Receiver) -> None:
    (one,) = raised(at, 1)
    at.lodge("alerts", [record(one, DESK)])  # a repeat
    plan = read_plan(plan_of(tmp_path, "urgent", [hook(tmp_path, receiver.url)], console="https://console.example/"))
    tally = notify(at, plan)
    assert told(receiver, [one]) == [one.alert_id]
    assert (tally.told, tally.failed, tally.passed_by) == (1, 0, 1)
    said = receiver.got[0][1]["data"]
    assert said["headline"] == one.headline
    assert said["console"] == f"https://console.example/#queue/{one.alert_id}"
    assert one.filtered.item.cargo is not None
    assert one.filtered.item.cargo.consignee not in str(receiver.got)


def test_a_receiver_that_fails_is_tried_again_then_kept_and_sent_later(
    at: Border, tmp_path: Path, receiver: Receiver
) -> None:
    one, two = raised(at, 11, 12)
    receiver.answers = [503, 429]  # then it takes them
    path = plan_of(
        tmp_path, "retry", [hook(tmp_path, receiver.url), hook(tmp_path, dead_address(), name="dead")], attempts=3
    )
    plan = read_plan(path)
    tally = notify(at, plan)
    assert sorted(told(receiver, [one, two])) == sorted([one.alert_id, two.alert_id])
    kept = still_undelivered(Path(plan.dead_letters))
    mine = [line for line in kept if line.alert_id in (one.alert_id, two.alert_id)]
    assert [(line.receiver, line.attempts) for line in mine] == [("dead", 3)] * 2
    assert tally.failed == len(kept)
    lines: list[str] = []
    assert redeliver(at.settings, plan, None, lines.append).failed == len(kept)
    mended = read_plan(plan_of(tmp_path, "retry", [hook(tmp_path, receiver.url, name="dead")]))
    assert redeliver(at.settings, mended, "dead", lines.append).told == len(kept)
    assert still_undelivered(Path(plan.dead_letters)) == []
    assert told(receiver, [one]) == [one.alert_id] * 2
    assert len({message for message, said in receiver.got if said["data"]["alert_id"] == one.alert_id}) == 1


def test_what_is_refused_for_good_is_kept_at_once_and_a_redirect_is_not_followed(
    at: Border, tmp_path: Path, receiver: Receiver
) -> None:
    (one,) = raised(at, 21)
    receiver.answers = [302] * 100
    plan = read_plan(plan_of(tmp_path, "refused", [hook(tmp_path, receiver.url)]))
    notify(at, plan)
    kept = [line for line in still_undelivered(Path(plan.dead_letters)) if line.alert_id == one.alert_id]
    assert [(line.attempts, line.why) for line in kept] == [(1, "HTTP status 302")]


def test_a_mail_says_what_to_do_and_by_when(at: Border, tmp_path: Path) -> None:
    (one,) = raised(at, 31)
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=own_port(), ready_timeout=PATIENCE_S)
    server.start()
    try:
        email = {
            "to": ["duty@example.org"], "sender": "borderflow@example.org", "host": "127.0.0.1", "port": server.port,
            "starttls": False,
        }  # fmt: skip
        plan = read_plan(plan_of(tmp_path, "mail", [{"name": "mail", "email": email}]))
        notify(at, plan)
    finally:
        server.stop()
    mine = [mail for mail in mailbox.messages if mail["Message-ID"] == f"<{one.alert_id}@borderflow>"]
    assert len(mine) == 1
    assert mine[0]["Subject"].startswith(f"[priority {one.priority}] {DESK}: ")
    text = mine[0].get_content()
    assert one.headline in text
    assert f"{one.deadline:%Y-%m-%d %H:%M} UTC" in text


def test_the_command_notifies_until_it_is_told_to_end_and_what_was_in_hand_comes_again(
    at: Border, tmp_path: Path, receiver: Receiver
) -> None:
    (one,) = raised(at, 41)
    receiver.answers = [503] * 1000
    path = plan_of(tmp_path, "command", [hook(tmp_path, receiver.url)], attempts=1000)
    command = [sys.executable, "-m", "streams.cli", "notify", "run", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **at.environment}, stderr=subprocess.DEVNULL)
    while len(receiver.answers) > 995:
        assert process.poll() is None
        threading.Event().wait(0.05)
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    receiver.answers = []
    notify(at, read_plan(path))
    assert told(receiver, [one]) == [one.alert_id]


def test_a_notifier_tells_prometheus_whom_it_told_and_whom_it_could_not(
    at: Border, tmp_path: Path, receiver: Receiver
) -> None:
    refusing = Receiver()
    refusing.answers = [400] * 1000
    hooks = [hook(tmp_path, receiver.url), hook(tmp_path, refusing.url, "refusing")]
    path, port = plan_of(tmp_path, "counted", hooks), own_port()
    command = [sys.executable, "-m", "streams.cli", "notify", "run", str(path)]
    environment = {**os.environ, **at.environment, "BORDERFLOW_NOTIFY_PORT": str(port)}
    ended = 'borderflow_notify_notifications_total{ended="%s",receiver="%s"}'
    alerts = {one.alert_id for one in (*raised(at, 61, 62), *raised(at, 63, minutes_left=-90))}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        until, said = time.monotonic() + PATIENCE_S, dict[str, float]()
        while not (
            said.get("borderflow_notify_expired_alerts_total")
            and len(alerts & ids_of(receiver)) == 2
            and said[ended % ("told", "duty")] == said[ended % ("failed", "refusing")] == len(receiver.got)
        ):
            assert time.monotonic() < until, said
            assert process.poll() is None
            time.sleep(0.1)
            said = counted(port)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert said[ended % ("failed", "duty")] == said[ended % ("told", "refusing")] == 0.0
    undelivered = still_undelivered(Path(read_plan(path).dead_letters))
    assert said["borderflow_notify_undelivered"] == len(undelivered) == said[ended % ("failed", "refusing")]
    assert said["borderflow_notify_silent_seconds"] < PATIENCE_S


def counted(port: int) -> dict[str, float]:
    """What a notifier tells Prometheus, by metric and labels; nothing until it serves."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
    except OSError:
        return {}
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_a_notifier_that_is_told_to_end_while_brokers_are_away_does_not_wait_for_them(
    tmp_path: Path, receiver: Receiver
) -> None:
    path = plan_of(tmp_path, "away", [hook(tmp_path, receiver.url)], attempts=1000, most_wait_s=0.05)
    receiver.answers = [503] * 1000
    with EmbeddedBroker() as broker:
        environment = {**broker.environment(), "BORDERFLOW_PARTITIONS": "2"}
        settings = Settings.from_environment(environment)
        create_topics(settings)
        raise_alert(settings, 51)
        command = [sys.executable, "-m", "streams.cli", "notify", "run", str(path)]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
        while len(receiver.answers) == 1000:
            assert process.poll() is None
            threading.Event().wait(0.05)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        receiver.answers = []
        while not receiver.got:
            assert process.poll() is None
            threading.Event().wait(0.05)
        process.terminate()
        assert process.wait(30) == 0
        os.kill(broker.pid, signal.SIGCONT)
        raise_alert(settings, 52)
        wanted = {alert(number).alert_id for number in (51, 52)}
        Notifier(settings, read_plan(path)).run(until=lambda _: wanted <= ids_of(receiver))
    assert ids_of(receiver) == wanted
    assert len({message for message, _ in receiver.got}) == 2  # what was told again has the same id


def raise_alert(settings: Settings, number: int) -> None:
    """Produce the urgent alert with this number."""

    async def send() -> None:
        async with publisher(settings) as to:
            await to.publish("alerts", [record(alert(number, layer="mandatory"), DESK)])

    asyncio.run(send())


def ids_of(receiver: Receiver) -> set[str]:
    """The ids of the alerts that a receiver was told of."""
    return {said["data"]["alert_id"] for _, said in receiver.got}


def dead_address() -> str:
    """An address of this machine where nobody listens."""
    return f"http://127.0.0.1:{own_port()}/hook"


def test_a_notifier_ends_when_brokers_fall_silent_and_goes_on_when_they_are_only_slow(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.centre._ASK_EVERY_S", 0.5)
    plan = read_plan(plan_of(tmp_path, "silent", [hook(tmp_path, receiver.url)]))
    with EmbeddedBroker() as broker:
        settings = Settings.from_environment({**broker.environment(), "BORDERFLOW_PARTITIONS": "2"})
        create_topics(settings)
        assert broker.pid is not None
        running = Notifier(settings, plan)
        ended: list[BaseException] = []

        def run() -> None:
            try:
                running.run()
            except KafkaTimeoutError as error:
                ended.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        for number in (61, 62):
            raise_alert(settings, number)
            while alert(number).alert_id not in ids_of(receiver):
                assert thread.is_alive()
                threading.Event().wait(0.05)
            os.kill(broker.pid, signal.SIGSTOP)
            if number == 61:  # for less than a notifier waits
                threading.Event().wait(5)
                os.kill(broker.pid, signal.SIGCONT)
        monkeypatch.setattr("streams.notify.run.SILENT_S", 2.0)
        thread.join(60)
        os.kill(broker.pid, signal.SIGCONT)
        assert not thread.is_alive()
        assert len(ended) == 1
        assert "the brokers have not answered for" in str(ended[0])
    assert len(receiver.got) == 2
