"""Until when the certificates hold that a process uses: the dates in their files, and nothing else that is in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from streams import metrics
from streams.settings import PREFIX, Settings

log = structlog.get_logger("borderflow.certificates")

AUTHORITIES: Final = f"{PREFIX}TLS_CA_FILE"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """From when until when a file can be used."""

    begins: datetime
    ends: datetime


class UndatedError(Exception):
    """A file of certificates has no dates that can be read; the message names the setting and the file."""


def files_for_brokers(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The files of certificates that a client of the brokers uses, each with the setting that names it."""
    if settings.security_protocol not in ("SSL", "SASL_SSL"):
        return
    if settings.tls_ca_file:
        yield AUTHORITIES, Path(settings.tls_ca_file)
    if settings.tls_cert_file:
        yield f"{PREFIX}TLS_CERT_FILE", Path(settings.tls_cert_file)


def files_for_browsers(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The same of the console."""
    if settings.console_tls_cert_file:
        yield f"{PREFIX}CONSOLE_TLS_CERT_FILE", Path(settings.console_tls_cert_file)


def lifetime(setting: str, path: Path, now: datetime) -> Lifetime:
    """The lifetime of one file. Raises `UndatedError`.

    A chain holds while all of it does. Of authorities one that has ended may be left over from a change to another: of
    those that hold the one counts that ends first, as nobody here knows which of them signs for the brokers.
    """
    from cryptography.x509 import load_pem_x509_certificates  # a tenth of a second, for who has certificates

    try:
        found = load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise UndatedError(f"{setting}: {path}: {error.strerror}") from None
    except ValueError:
        raise UndatedError(f"{setting}: {path}: there is no certificate in it that can be read") from None
    if setting == AUTHORITIES:
        holding = [one for one in found if one.not_valid_before_utc <= now < one.not_valid_after_utc]
        found = holding or [max(found, key=lambda one: one.not_valid_after_utc)]
    return Lifetime(max(one.not_valid_before_utc for one in found), min(one.not_valid_after_utc for one in found))


def tell_expiries(settings: Settings) -> None:
    """Tell Prometheus until when the files hold that this process talks to brokers with: it reads them only now."""
    for setting, path in files_for_brokers(settings):
        try:
            ends = lifetime(setting, path, datetime.now(UTC)).ends
        except UndatedError as error:
            log.warning("nobody is told when a certificate expires", why=str(error))
        else:
            metrics.certificate_expiry.labels(setting).set(ends.timestamp())
