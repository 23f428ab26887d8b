"""Sends one notification: a webhook signed after the Standard Webhooks specification, or a mail.

What is sent says what to do, where, by when and why, and where to look; it names no person and no goods owner. The
console or the `alerts` topic has the rest.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec
import structlog
from standardwebhooks import Webhook

from streams.centre import CentreAlert
from streams.defects import places
from streams.notify.plan import EmailTarget, NotifyPlan, Receiver, WebhookTarget, signing_secret

log = structlog.get_logger("borderflow.notify")

_WORTH_ANOTHER_TRY = frozenset((408, 425, 429))


class NotSentError(Exception):
    """A notification was not taken; `again` says whether another attempt may help. Holds nothing of the alert.

    `left` is the receiver without those of its mailboxes that have taken it; None: nobody has.
    """

    def __init__(self, why: str, *, again: bool, left: Receiver | None = None) -> None:
        super().__init__(why)
        self.again = again
        self.left = left


class _NoRedirects(HTTPRedirectHandler):
    """A signed body goes to the address that was configured, and to no other."""

    def redirect_request(self, *given: Any) -> None:
        return None


_OPENER = build_opener(_NoRedirects)


def notification(alert: CentreAlert, plan: NotifyPlan) -> dict[str, Any]:
    """What a receiver is told."""
    event, decision = alert.event, alert.event.decision
    told = {
        "type": "borderflow.alert.raised",
        "timestamp": event.raised_at,
        "data": {
            "alert_id": event.alert_id,
            "decision_id": decision.decision_id,
            "ce_id": alert.ce_id,
            "control_point": decision.control_point,
            "stream": decision.stream,
            "lane": decision.lane,
            "layer": decision.layer,
            "priority": event.priority,
            "deadline": event.deadline,
            "headline": event.headline,
            "reasons": [reason.text for reason in decision.reasons[:3]],
        },
    }
    if plan.console:
        told["data"]["console"] = f"{plan.console.rstrip('/')}/#queue/{event.alert_id}"  # type: ignore[index]
    return told


def send(receiver: Receiver, alert: CentreAlert, plan: NotifyPlan) -> None:
    """Send once. Raises `NotSentError`, whatever went wrong: one alert must not keep the others from being told.

    A file that cannot be read (a secret that is being replaced) may be there at the next attempt. Anything else that
    nobody foresaw would go wrong again, and is told by its place in the code: its text may be about a person.
    """
    try:
        told = notification(alert, plan)
        if receiver.webhook is not None:
            _post(receiver.webhook, alert.ce_id or alert.event.alert_id, told, plan.timeout_s)
        elif receiver.email is not None:
            refused = _mail(receiver.email, alert, told["data"], plan.timeout_s)
            if refused:
                left = msgspec.structs.replace(receiver.email, to=tuple(refused))
                raise _refused(refused, receiver.email, msgspec.structs.replace(receiver, email=left))
    except NotSentError:
        raise
    except Exception as error:
        what = {"receiver": receiver.name, "alert_id": alert.event.alert_id, "error": type(error).__name__}
        log.error("a notification could not be made", **what, at=places(error))
        raise NotSentError(type(error).__name__, again=isinstance(error, OSError)) from None


def _post(target: WebhookTarget, message_id: str, told: dict[str, Any], timeout_s: float) -> None:
    body = msgspec.json.encode(told).decode()
    now = datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "user-agent": "borderflow",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": _signer(target).sign(message_id, now, body),
    }
    try:
        with _OPENER.open(Request(target.url, body.encode(), headers, method="POST"), timeout=timeout_s):  # noqa: S310 - https, or this machine: checked when the plan was read
            return
    except HTTPError as error:
        again = error.code >= 500 or error.code in _WORTH_ANOTHER_TRY
        raise NotSentError(f"HTTP status {error.code}", again=again) from None
    except (URLError, OSError, HTTPException) as error:
        raise NotSentError(type(error).__name__, again=True) from None


def _signer(target: WebhookTarget) -> Webhook:
    try:
        return Webhook(signing_secret(target))
    except ValueError:
        raise NotSentError("the secret file does not hold base64", again=False) from None


def one_line(text: str) -> str:
    """A text without line breaks and other control characters, which no mail header may hold."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _refused(codes: dict[str, int], target: EmailTarget, left: Receiver | None = None) -> NotSentError:
    """Told by place, not by address. While one asks for another try (greylisting), all that are left get it."""
    addresses = _addresses(target)
    told = ", ".join(f"{code} for mailbox {addresses.index(to) + 1}" for to, code in codes.items())
    return NotSentError(f"SMTP code {told}", again=any(code < 500 for code in codes.values()), left=left)


def _addresses(target: EmailTarget) -> list[str]:
    return [address for _, address in getaddresses(target.to)]


@contextmanager
def _server(target: EmailTarget, timeout_s: float) -> Iterator[smtplib.SMTP]:
    """A mail server to talk to. How it says goodbye takes nothing back, though smtplib would raise it."""
    server = smtplib.SMTP(target.host, target.port, timeout=timeout_s)
    try:
        yield server
    finally:
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
        server.close()


def _mail(target: EmailTarget, alert: CentreAlert, told: dict[str, Any], timeout_s: float) -> dict[str, int]:
    """Send a mail; the codes of the mailboxes that were refused while others took it."""
    message = EmailMessage()
    message["From"], message["To"] = target.sender, ", ".join(target.to)
    message["Subject"] = one_line(f"[priority {told['priority']}] {told['control_point']}: {told['headline']}")[:200]
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{alert.event.alert_id}@borderflow>"
    deadline: datetime = told["deadline"]
    lines = [
        told["headline"],
        "",
        f"Control point  {told['control_point']}",
        f"Lane           {told['lane']}",
        f"Deadline       {deadline:%Y-%m-%d %H:%M} UTC",
        "",
        *(f"- {reason}" for reason in told["reasons"]),
        "",
        told.get("console", f"alert {told['alert_id']}"),
    ]
    message.set_content("\n".join(lines))
    try:
        with _server(target, timeout_s) as server:
            if target.starttls:
                server.starttls(context=ssl.create_default_context())
            if target.username:
                server.login(target.username, Path(target.password_file).read_text(encoding="utf-8").strip())
            refused = server.send_message(message, to_addrs=_addresses(target))
            return {to: code for to, (code, _) in refused.items()}
    except smtplib.SMTPResponseException as error:
        raise NotSentError(f"SMTP code {error.smtp_code}", again=error.smtp_code < 500) from None
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused({to: code for to, (code, _) in error.recipients.items()}, target) from None
    except (smtplib.SMTPException, OSError) as error:
        raise NotSentError(type(error).__name__, again=True) from None
