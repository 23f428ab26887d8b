"""Plans of notifications: what is refused, by file, receiver and field; and who is told of what."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.centre import CentreAlert
from streams.commands import CommandRefusedError
from streams.notify.deadletters import Undelivered, note, now, still_undelivered
from streams.notify.plan import NotifyPlan, Receiver, WebhookTarget, read_plan
from streams.notify.sending import NotSentError, send
from tests.browser.centre import DESK, alert

WEBHOOK = """  - name: duty
    priority: 2
    webhook: {url: "https://duty.example/hook", secret_file: SECRET}
"""
MAIL = """  - name: mail
    email:
      to: [a@example.org]
      sender: b@example.org
      host: smtp.example.org
"""


def plan_file(folder: Path, receivers: str) -> Path:
    """A plan in a file, its secret beside it."""
    (folder / "secret").write_text("c2VjcmV0LXNlY3JldC1zZWNyZXQ=")
    path = folder / "notify.yaml"
    path.write_text(f"receivers:\n{receivers}".replace("SECRET", str(folder / "secret")))
    return path


@pytest.mark.parametrize(
    ("receivers", "refusal"),
    [
        (WEBHOOK.replace("https:", "http:"), r"receiver 1 \(duty\): webhook.url: https is needed"),
        (WEBHOOK.replace("https://duty.", "http://127.duty."), r"receiver 1 \(duty\): webhook.url: https is needed"),
        (MAIL.replace("smtp", "127.0.0.1") + "      starttls: false\n", "email.starttls: needed"),
        (WEBHOOK.replace("SECRET", "/nowhere/secret"), r"webhook.secret_file: there is no file /nowhere/secret"),
        (WEBHOOK + WEBHOOK, r"receiver 2 \(duty\): the name stands there twice"),
        ("  - name: duty\n", "either webhook or email is needed"),
        (WEBHOOK.replace("priority: 2", "priority: 9"), r"\$.receivers\[0\].priority"),
        (WEBHOOK.replace("priority", "urgency"), "unknown field `urgency`"),
        (MAIL + "      starttls: false\n", "email.starttls: needed"),
        (MAIL + "      username: someone\n", "email.username, email.password_file: both or none"),
        ("  - [", "line [0-9]+, column [0-9]+: expected"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_work_is_refused_by_file_receiver_and_field(
    tmp_path: Path, receivers: str, refusal: str
) -> None:
    path = plan_file(tmp_path, receivers)
    with pytest.raises(CommandRefusedError, match=refusal) as refused:
        read_plan(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("held", ["just a password", "", "whsec_", "whsec_\u00e9"])
def test_a_plan_whose_webhook_could_never_be_signed_is_refused_before_there_is_an_alert(
    tmp_path: Path, held: str
) -> None:
    path = plan_file(tmp_path, WEBHOOK)
    (tmp_path / "secret").write_text(held, encoding="utf-8")
    with pytest.raises(CommandRefusedError, match=r"receiver 1 \(duty\): webhook.secret_file: .*base64") as refused:
        read_plan(path)
    assert not held or held not in str(refused.value)


@pytest.mark.parametrize("text", ["receivers: ['kim@customs.example", "receivers: []\n---\nreceivers: []\n", ""])
def test_a_plan_that_cannot_be_read_is_refused_without_showing_what_stands_there(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(CommandRefusedError) as refused:
        read_plan(tmp_path / "plan.yaml")
    assert "plan.yaml: " in str(refused.value)
    assert "kim" not in str(refused.value)


def test_a_plan_whose_dead_letters_have_no_folder_is_refused_before_there_is_one(tmp_path: Path) -> None:
    path = plan_file(tmp_path, WEBHOOK)
    path.write_text(path.read_text() + "\ndead_letters: elsewhere/dead.jsonl\n")
    with pytest.raises(CommandRefusedError, match=r"dead_letters: there is no folder .*elsewhere"):
        read_plan(path)
    (tmp_path / "elsewhere").mkdir()
    assert read_plan(path).dead_letters == str(tmp_path / "elsewhere" / "dead.jsonl")


def test_a_receiver_is_told_of_its_control_points_up_to_its_priority() -> None:
    urgent, later = alert(1, layer="mandatory"), alert(2, layer="exploration")
    assert urgent.priority <= 2 < later.priority
    here = Receiver(name="here", control_points=(DESK,))
    assert here.wants(urgent)
    assert not here.wants(later)
    assert Receiver(name="all", priority=5).wants(later)
    assert not Receiver(name="elsewhere", priority=5, control_points=("KRPUS-SEA",)).wants(urgent)


def test_a_dead_letter_stands_until_it_is_delivered_also_behind_a_line_that_a_crash_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    assert still_undelivered(path) == []
    lost = [
        Undelivered(what="failed", at=now(), receiver=name, alert_id="a-1", partition=0, offset=7, attempts=3, why="x")
        for name in ("duty", "mail")
    ]
    for line in lost:
        note(path, line)
    note(path, Undelivered(what="delivered", at=now(), receiver="duty", alert_id="a-1", partition=0, offset=7))
    with path.open("ab") as file:
        file.write(b'{"what":"failed","at')
    assert still_undelivered(path) == [lost[1]]
    note(path, lost[0])  # it was not acknowledged, so it comes again
    assert still_undelivered(path) == [lost[1], lost[0]]


def test_a_secret_that_is_no_secret_is_a_failure_without_another_try(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not base64 !")
    target = WebhookTarget(url="http://127.0.0.1:9/", secret_file=str(tmp_path / "secret"))
    receiver = Receiver(name="duty", webhook=target)
    with pytest.raises(NotSentError, match="base64") as failed:
        send(receiver, CentreAlert(alert(1), "ce-1", 0, 1), NotifyPlan(receivers=(receiver,)))
    assert not failed.value.again
