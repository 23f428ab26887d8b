"""`borderflow doctor` on this machine alone: what it finds before it asks any broker."""

from __future__ import annotations

import sys
import sysconfig
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kafka.codec
import pytest
import trustme

from streams.doctor import Finding, examine, why_not_served
from streams.settings import Settings
from tests.tls import broker_with_certificate

NO_BROKER = {"BORDERFLOW_BROKERS": "127.0.0.1:1"}


def found(check: str, **environment: str) -> Finding:
    (one,) = [one for one in examine({**NO_BROKER, **environment}) if one.check == check]
    return one


def test_an_installation_reads_whatever_a_lodger_may_compress_with(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("codecs") == Finding("codecs", "ok", "both clients read gzip, snappy, lz4, zstd")
    monkeypatch.setattr(kafka.codec, "zstd", None)
    lacking = found("codecs")
    assert (lacking.state, lacking.found) == ("wrong", "kafka-python cannot read zstd")
    assert "zstandard" in lacking.advice


@pytest.mark.parametrize(
    ("prefix", "configured", "slower"),
    [("/opt/py", "'--with-lto'", True), ("/opt/py", None, True), ("/usr/local", "'--enable-optimizations'", False),
     ("/usr", "'--enable-shared'", False)],
)  # fmt: skip
def test_a_python_that_takes_longer_for_everything_is_told(
    monkeypatch: pytest.MonkeyPatch, prefix: str, configured: str | None, slower: bool
) -> None:
    monkeypatch.setattr(sys, "base_prefix", prefix)
    monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": configured}.get)
    versions = found("versions")
    assert (versions.state, "--enable-optimizations" in versions.found) == ("ok", slower)


def test_a_pseudonym_key_that_production_refuses_is_what_is_wrong_with_the_settings() -> None:
    short = found("settings", BORDERFLOW_ENVIRONMENT="production", BORDERFLOW_SECURITY_PROTOCOL="SSL",
                  BORDERFLOW_PSEUDONYM_KEY="hunter2")  # fmt: skip
    assert short.state == "wrong"
    assert "BORDERFLOW_PSEUDONYM_KEY: the pseudonym key has 7 bytes" in short.found
    assert "hunter2" not in short.found


def test_a_file_of_authorities_that_holds_none_is_what_is_wrong_with_the_settings(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    ca = found("settings", BORDERFLOW_SECURITY_PROTOCOL="SSL", BORDERFLOW_TLS_CA_FILE=str(tmp_path / "ca.pem"))
    assert (ca.state, "BORDERFLOW_TLS_CA_FILE" in ca.found) == ("wrong", True)


def test_who_must_not_have_the_pseudonym_key_examines_the_rest_all_the_same() -> None:
    production = {"BORDERFLOW_ENVIRONMENT": "production", "BORDERFLOW_SECURITY_PROTOCOL": "SSL"}
    assert found("policy", **production).state == "ok"
    assert "nothing listens" in found("brokers", **production).found


@pytest.mark.parametrize(
    ("begins", "ends", "state", "said"),
    [
        (-400, 45.5, "ok", "holds for 45 days more, until "),
        (-400, 12.5, "warning", "holds for 12 days more, until "),
        (-400, 0.5, "warning", "holds for 0 days more, until "),
        (-400, -1, "wrong", "expired on "),
        (1, 400, "wrong", "is not valid before "),
    ],
)
def test_the_days_of_each_certificate_are_told_by_setting_and_file(
    tmp_path: Path, begins: float, ends: float, state: str, said: str
) -> None:
    now = datetime.now(UTC)
    issued = trustme.CA().issue_cert(
        "console.example", not_before=now + timedelta(days=begins), not_after=now + timedelta(days=ends)
    )
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "console.pem"))
    served = found("certificates", BORDERFLOW_CONSOLE_TLS_CERT_FILE=str(tmp_path / "console.pem"),
                   BORDERFLOW_CONSOLE_TLS_KEY_FILE=str(tmp_path / "console.pem"))  # fmt: skip
    assert served.state == state
    assert served.found.startswith(f"BORDERFLOW_CONSOLE_TLS_CERT_FILE: {tmp_path / 'console.pem'} {said}")
    assert "console.example" not in served.found
    assert bool(served.advice) == (state != "ok")


def test_an_installation_without_certificates_has_nothing_to_say_of_them() -> None:
    assert "certificates" not in [one.check for one in examine(NO_BROKER)]


def test_a_broker_whose_certificate_has_expired_is_named_with_that_reason(tmp_path: Path) -> None:
    with broker_with_certificate(tmp_path, until=datetime(2020, 2, 1, tzinfo=UTC)) as (address, authorities):
        expired = found("brokers", BORDERFLOW_BROKERS=address, BORDERFLOW_SECURITY_PROTOCOL="SSL",
                        BORDERFLOW_TLS_CA_FILE=authorities, BORDERFLOW_REQUEST_TIMEOUT_S="5")  # fmt: skip
    assert expired.state == "wrong"
    assert expired.found.startswith(f"{address} does not let this process in: ")
    assert "certificate has expired" in expired.found


def test_the_certificate_that_a_broker_shows_is_warned_of_before_it_expires(tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(days=3.5)
    with broker_with_certificate(tmp_path, until=soon) as (address, authorities):
        environment = {"BORDERFLOW_BROKERS": address, "BORDERFLOW_SECURITY_PROTOCOL": "SSL",
                       "BORDERFLOW_TLS_CA_FILE": authorities, "BORDERFLOW_REQUEST_TIMEOUT_S": "5"}  # fmt: skip
        ca, shown = [one for one in examine(environment) if one.check == "certificates"]
    assert (ca.state, ca.found.startswith("BORDERFLOW_TLS_CA_FILE: ")) == ("ok", True)
    assert shown.state == "warning"
    assert shown.found == f"broker {address}: its certificate holds for 3 days more, until {soon:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("demands", "said"),
    [(True, ", most likely because of this client's certificate: [SSL: "), (False, " without a word: it stops, ")],
)
def test_a_broker_that_closes_connections_after_the_handshake_is_named_with_the_likely_cause(
    tmp_path: Path, demands: bool, said: str
) -> None:
    with broker_with_certificate(tmp_path, demands=demands) as (address, authorities):
        environment = {"BORDERFLOW_BROKERS": address, "BORDERFLOW_SECURITY_PROTOCOL": "SSL",
                       "BORDERFLOW_TLS_CA_FILE": authorities}  # fmt: skip
        closing = why_not_served(Settings.from_environment(environment), [], OSError())
    assert closing.state == "wrong"
    assert closing.found.startswith(f"{address} does not let this process in: ")
    assert f"{address} closes the connection after the TLS handshake{said}" in closing.found
    assert "BORDERFLOW_TLS_*" in closing.advice
