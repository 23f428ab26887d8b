"""`borderflow doctor` on this machine alone: what it finds before it asks any broker."""

from __future__ import annotations

from pathlib import Path

import kafka.codec
import pytest

from streams.doctor import Finding, examine

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
