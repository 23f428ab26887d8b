"""Who is told of which alerts: a YAML file, read once at the start.

receivers:
  - name: busan-duty                 # also names it in logs and dead letters
    priority: 2                      # 1 and 2; 1 is the most urgent
    control_points: [KRPUS-SEA]      # all unless given
    webhook:
      url: https://duty.example/borderflow
      secret_file: /run/secrets/busan-duty
  - name: shift-lead
    priority: 1
    email:
      to: [shift.lead@customs.example]
      sender: borderflow@customs.example
      host: smtp.customs.example
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from schemas.decisions import AlertRaised
from streams.commands import CommandRefusedError
from streams.loopback import on_this_machine
from streams.strict_yaml import load_documents

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Whole = Annotated[int, Meta(ge=1)]


class WebhookTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address that takes a signed POST. `secret_file` holds the secret, `whsec_` and base64, or base64 alone."""

    url: str
    secret_file: str


class EmailTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mailboxes behind an SMTP server. Without `starttls` only a server on this machine is spoken to."""

    to: Annotated[tuple[str, ...], Meta(min_length=1)]
    sender: str
    host: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    starttls: bool = True
    username: str = ""
    password_file: str = ""


class Receiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One receiver: a webhook or mailboxes, told of alerts up to `priority` at `control_points` (all when empty)."""

    name: Name
    priority: Annotated[int, Meta(ge=1, le=5)] = 2
    control_points: tuple[str, ...] = ()
    webhook: WebhookTarget | None = None
    email: EmailTarget | None = None

    def wants(self, alert: AlertRaised) -> bool:
        """Whether it is told of this alert."""
        here = not self.control_points or alert.decision.control_point in self.control_points
        return here and alert.priority <= self.priority


class NotifyPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about notifying. Waits between attempts are `first_wait_s`, doubled each time, at most `most_wait_s`,
    less up to a half by chance.

    `dead_letters` is the file that keeps what could not be delivered, beside the plan unless it is an absolute path.
    `console` is the console's address, for a link in what is sent.
    """

    name: Name = "alerts"
    receivers: Annotated[tuple[Receiver, ...], Meta(min_length=1)]
    attempts: Whole = 6
    first_wait_s: Annotated[float, Meta(gt=0)] = 1.0
    most_wait_s: Annotated[float, Meta(gt=0)] = 60.0
    timeout_s: Annotated[float, Meta(gt=0)] = 10.0
    dead_letters: str = "notify-dead-letters.jsonl"
    console: str = ""

    @property
    def system(self) -> str:
        """What the notifier is called as a system of a centre: its consumer group is `centre-<system>`."""
        return f"notify-{self.name}"


def read_plan(path: Path) -> NotifyPlan:
    """The plan in a file. Raises `CommandRefusedError` naming the file and the field; `OSError`."""
    try:
        documents = load_documents(path.read_text(encoding="utf-8"))
        plan = msgspec.convert(documents[0] if documents else None, NotifyPlan)
    except (ValueError, msgspec.ValidationError) as error:
        raise CommandRefusedError(f"{path}: {error}") from None
    if len(documents) > 1:
        raise CommandRefusedError(f"{path}: one document is a plan, and there are {len(documents)}")
    names: set[str] = set()
    for place, one in enumerate(plan.receivers, 1):
        where = f"{path}: receiver {place} ({one.name})"
        if one.name in names:
            raise CommandRefusedError(f"{where}: the name stands there twice")
        names.add(one.name)
        if (one.webhook is None) == (one.email is None):
            raise CommandRefusedError(f"{where}: either webhook or email is needed")
        if one.webhook is not None:
            _check_webhook(where, one.webhook)
        if one.email is not None:
            _check_email(where, one.email)
    dead_letters = path.parent / plan.dead_letters
    if not dead_letters.parent.is_dir():  # else the first alert that nobody takes would end the notifier
        raise CommandRefusedError(f"{path}: dead_letters: there is no folder {dead_letters.parent}")
    return msgspec.structs.replace(plan, dead_letters=str(dead_letters))


def _check_webhook(where: str, target: WebhookTarget) -> None:
    parts = urlsplit(target.url)
    if parts.scheme != "https" and not (parts.scheme == "http" and on_this_machine(parts.hostname or "")):
        raise CommandRefusedError(f"{where}: webhook.url: https is needed, except on this machine")
    if not Path(target.secret_file).is_file():
        raise CommandRefusedError(f"{where}: webhook.secret_file: there is no file {target.secret_file}")
    try:
        signing_secret(target)
    except OSError as error:
        raise CommandRefusedError(f"{where}: webhook.secret_file: {target.secret_file}: {error.strerror}") from None
    except ValueError:
        raise CommandRefusedError(f"{where}: webhook.secret_file: {target.secret_file} does not hold base64") from None


def signing_secret(target: WebhookTarget) -> str:
    """What a webhook's posts are signed with. Raises `ValueError` when its file does not hold base64; `OSError`."""
    secret = Path(target.secret_file).read_text(encoding="ascii").strip()
    if not base64.b64decode(secret.removeprefix("whsec_"), validate=True):
        raise ValueError("there is no secret")
    return secret


def _check_email(where: str, target: EmailTarget) -> None:
    if not target.starttls and not on_this_machine(target.host):
        raise CommandRefusedError(f"{where}: email.starttls: needed, except for a server on this machine")
    if bool(target.username) != bool(target.password_file):
        raise CommandRefusedError(f"{where}: email.username, email.password_file: both or none")
    if target.password_file and not Path(target.password_file).is_file():
        raise CommandRefusedError(f"{where}: email.password_file: there is no file {target.password_file}")
