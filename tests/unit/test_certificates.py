"""Until when certificates hold: a chain while all of it does, authorities until the first that holds now has ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from prometheus_client import CollectorRegistry, generate_latest

from streams import metrics
from streams.audit import metrics as sealer
from streams.certificates import (
    AUTHORITIES,
    Lifetime,
    UndatedError,
    files_for_brokers,
    files_for_browsers,
    lifetime,
    tell_expiries,
)
from streams.settings import Settings

CLIENT = "BORDERFLOW_TLS_CERT_FILE"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
LAST_YEAR, LAST_MONTH, NEXT_WEEK, NEXT_YEAR = (
    NOW + timedelta(days=days) for days in (-365, -30, 7, 365)
)  # fmt: skip


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write(path: Path, authority: trustme.CA, *lifetimes: tuple[datetime, datetime]) -> Path:
    """A file with one certificate for each of these lifetimes."""
    issued = [authority.issue_cert("border", not_before=begins, not_after=ends) for begins, ends in lifetimes]
    path.write_bytes(b"".join(one.cert_chain_pems[0].bytes() for one in issued))
    return path


def test_a_chain_holds_while_all_of_it_does(tmp_path: Path, authority: trustme.CA) -> None:
    chain = write(tmp_path / "chain.pem", authority, (LAST_YEAR, NEXT_YEAR), (LAST_MONTH, NEXT_WEEK))
    assert lifetime(CLIENT, chain, NOW) == Lifetime(LAST_MONTH, NEXT_WEEK)
    broken = write(tmp_path / "broken.pem", authority, (LAST_MONTH, NEXT_YEAR), (LAST_YEAR, LAST_MONTH))
    assert lifetime(CLIENT, broken, NOW).ends == LAST_MONTH


def test_an_authority_that_has_ended_is_left_over_while_another_holds(tmp_path: Path, authority: trustme.CA) -> None:
    both = write(tmp_path / "both.pem", authority, (LAST_YEAR, LAST_MONTH), (LAST_MONTH, NEXT_YEAR))
    assert lifetime(AUTHORITIES, both, NOW) == Lifetime(LAST_MONTH, NEXT_YEAR)
    assert lifetime(AUTHORITIES, both, NEXT_YEAR) == Lifetime(LAST_MONTH, NEXT_YEAR)  # none holds: the last one
    changing = write(tmp_path / "changing.pem", authority, (LAST_YEAR, NEXT_WEEK), (LAST_MONTH, NEXT_YEAR))
    assert lifetime(AUTHORITIES, changing, NOW).ends == NEXT_WEEK


def test_a_file_without_dates_is_named_and_not_told_of(tmp_path: Path) -> None:
    secret = tmp_path / "client.pem"
    secret.write_text("hunter2")
    with pytest.raises(UndatedError, match=f"{CLIENT}: {secret}: there is no certificate") as refused:
        lifetime(CLIENT, secret, NOW)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(UndatedError, match=f"{CLIENT}: {tmp_path / 'gone.pem'}: No such file"):
        lifetime(CLIENT, tmp_path / "gone.pem", NOW)


def test_files_are_those_that_the_settings_put_to_use(tmp_path: Path) -> None:
    for name in ("ca", "client", "key", "console"):
        (tmp_path / name).touch()
    named = {"tls_ca_file": str(tmp_path / "ca"), "tls_cert_file": str(tmp_path / "client"),
             "tls_key_file": str(tmp_path / "key")}  # fmt: skip
    assert list(files_for_brokers(Settings(**named))) == []  # type: ignore[arg-type]
    used = files_for_brokers(Settings(**named, security_protocol="SSL"))  # type: ignore[arg-type]
    assert list(used) == [(AUTHORITIES, tmp_path / "ca"), (CLIENT, tmp_path / "client")]
    assert list(files_for_browsers(Settings())) == []
    served = Settings(console_tls_cert_file=str(tmp_path / "console"), console_tls_key_file=str(tmp_path / "key"))
    assert list(files_for_browsers(served)) == [("BORDERFLOW_CONSOLE_TLS_CERT_FILE", tmp_path / "console")]


@pytest.fixture
def untold() -> Iterator[None]:
    yield
    metrics.certificate_expiry.clear()


@pytest.mark.usefixtures("untold")
@pytest.mark.parametrize("registry", [metrics.REGISTRY, sealer.REGISTRY], ids=["worker", "sealer"])
def test_prometheus_is_told_when_what_was_read_expires(
    registry: CollectorRegistry, tmp_path: Path, authority: trustme.CA
) -> None:
    held = datetime.now(UTC).replace(microsecond=0)
    ca = write(tmp_path / "ca.pem", authority, (held - timedelta(days=9), held + timedelta(days=9)))
    tell_expiries(Settings(security_protocol="SSL", tls_ca_file=str(ca)))
    value = registry.get_sample_value("borderflow_certificate_expiry_timestamp_seconds", {"setting": AUTHORITIES})
    assert value == (held + timedelta(days=9)).timestamp()
    assert str(ca).encode() not in generate_latest(registry)


@pytest.mark.usefixtures("untold")
def test_a_certificate_without_dates_stops_no_worker(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    tell_expiries(Settings(security_protocol="SSL", tls_ca_file=str(tmp_path / "ca.pem")))
    assert not [one for family in metrics.certificate_expiry.collect() for one in family.samples]
