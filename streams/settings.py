"""Every setting of a borderflow process: one frozen dataclass, read from `BORDERFLOW_*` environment variables.

A bad value is refused by the name of its variable. `docs/settings.md` is written by `settings_page` and a test
compares the two.
"""

from __future__ import annotations

import dataclasses
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_type_hints

import msgspec
from msgspec import Meta

PREFIX = "BORDERFLOW_"
NO_SETTINGS = frozenset({f"{PREFIX}CDD"})
"""Variables that a command reads by itself: where `borderflow demo --dataset cdd` finds the data set."""

STEPS = ("screening", "filtering", "selection", "reevaluation")

SHORTEST_KEY_BYTES = 32
"""As for the archive's key. A shorter pseudonym key can be guessed, and names can then be tried against pseudonyms."""


class SettingsError(ValueError):
    """One or more environment variables hold a value that cannot be used; the message names each."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a worker, a tool or a test needs to know about its surroundings."""

    environment: Annotated[
        Literal["development", "production"],
        Meta(
            description="`production` refuses unencrypted connections to brokers, a short pseudonym key, to work "
            "without one where pseudonyms are made, and to lodge simulated goods (`demo`, `load`)."
        ),
    ] = "development"
    brokers: Annotated[
        str, Meta(min_length=1, description="Kafka bootstrap servers, `host:port`, separated by commas.")
    ] = "127.0.0.1:9092"
    group: Annotated[str, Meta(min_length=1, description="Consumer group, and the prefix of client ids.")] = (
        "borderflow"
    )
    steps: Annotated[str, Meta(min_length=1, description="The steps that this worker hosts, separated by commas.")] = (
        ",".join(STEPS)
    )

    partitions: Annotated[
        int, Meta(ge=1, le=10_000, description="Partitions of each item topic when topics are created.")
    ] = 12
    replication: Annotated[int, Meta(ge=1, le=9, description="Replication factor of topics when they are created.")] = 1

    batch_records: Annotated[
        int, Meta(ge=1, le=10_000, description="The most records of one partition that an agent gets as one batch.")
    ] = 500
    buffered_bytes: Annotated[
        int, Meta(ge=1024, description="Bytes of records that may wait in front of each step before fetching pauses.")
    ] = 4_194_304
    commit_interval_s: Annotated[
        float, Meta(gt=0, le=60, description="Seconds between commits of consumed offsets.")
    ] = 1.0
    session_timeout_s: Annotated[
        float, Meta(ge=1, le=1800, description="Seconds without a heartbeat after which the group drops a worker.")
    ] = 15.0
    heartbeat_s: Annotated[float, Meta(gt=0, le=600, description="Seconds between heartbeats to the group.")] = 3.0
    rebalance_timeout_s: Annotated[
        float, Meta(ge=1, le=3600, description="Seconds that a worker may take to finish its batch in a rebalance.")
    ] = 60.0
    fetch_wait_ms: Annotated[
        int, Meta(ge=1, le=5_000, description="Milliseconds that a broker may hold a fetch with nothing to answer.")
    ] = 100
    fetch_min_bytes: Annotated[
        int,
        Meta(
            ge=1,
            description="Bytes a fetch waits for, `BORDERFLOW_FETCH_WAIT_MS` at most; more: fuller, later batches.",
        ),
    ] = 1
    fetch_bytes: Annotated[
        int, Meta(ge=1024, description="The most bytes of one partition in one fetch; at least the largest record.")
    ] = 2_097_152
    max_batch_bytes: Annotated[
        int, Meta(ge=1024, description="The most bytes in one produced batch; at most the brokers' message.max.bytes.")
    ] = 1_000_000
    idempotence: Annotated[
        bool, Meta(description="Whether producers are idempotent; the embedded broker cannot, Kafka can.")
    ] = True
    request_timeout_s: Annotated[
        float, Meta(ge=1, le=600, description="Seconds until a request to a broker, or a produced batch, has failed.")
    ] = 40.0

    dead_letter_limit: Annotated[
        float, Meta(ge=0, le=1, description="Refused share of the last items of a topic that stops a worker; 0: never. "
                    "Once a worker has accepted some lodgements or results, no others stop it.")
    ] = 0.95  # fmt: skip
    dead_letter_window: Annotated[
        int, Meta(ge=1, le=1_000_000, description="How many of the last items of a topic a step counts for that limit.")
    ] = 1000

    web_host: Annotated[
        str, Meta(description="Address of /healthz, /readyz and /metrics; `off` switches them off.")
    ] = "127.0.0.1"
    web_port: Annotated[int, Meta(ge=0, le=65_535, description="Port of these pages; 0 takes any free one.")] = 6066

    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], Meta(description="How to talk to the brokers.")
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Meta(description="SASL mechanism, when SASL is used.")
    ] = "SCRAM-SHA-512"
    sasl_username: Annotated[str, Meta(description="SASL user name.")] = ""
    sasl_password_file: Annotated[str, Meta(description="File that holds the SASL password.")] = ""
    tls_ca_file: Annotated[
        str, Meta(description="PEM file of the authorities that sign broker certificates; empty: the system's.")
    ] = ""
    tls_cert_file: Annotated[str, Meta(description="PEM file of this client's certificate, for mutual TLS.")] = ""
    tls_key_file: Annotated[str, Meta(description="PEM file of this client's key, for mutual TLS.")] = ""

    policy_file: Annotated[
        str, Meta(description="YAML file of the policy, or the name of a built-in one; empty: `default`.")
    ] = ""
    pseudonym_key: Annotated[
        str,
        Meta(description="Key (in production 32 bytes or more) that pseudonyms are derived with; prefer the file."),
    ] = field(default="", repr=False)
    pseudonym_key_file: Annotated[str, Meta(description="File that holds that key.")] = ""
    archive_dir: Annotated[str, Meta(min_length=1, description="Folder of the archive.")] = "archive"
    archive_key_file: Annotated[
        str, Meta(description="File with the key (32 bytes or more) that seals archived records about persons.")
    ] = ""
    archive_port: Annotated[
        int, Meta(ge=0, le=65_535, description="Port of the archiver's pages of that kind; 0: it has none.")
    ] = 0
    shadow_dir: Annotated[str, Meta(min_length=1, description="Folder of the shadows.")] = "shadows"
    audit_dir: Annotated[str, Meta(min_length=1, description="Folder of the audit chains.")] = "audit"
    audit_port: Annotated[
        int,
        Meta(ge=0, le=65_535, description="Port of the sealer's /healthz, /readyz and /metrics; 0 takes any free one."),
    ] = 6067
    notify_port: Annotated[
        int, Meta(ge=0, le=65_535, description="Port of the notifier's pages of that kind; 0: it has none.")
    ] = 0
    console_host: Annotated[
        str, Meta(min_length=1, description="Address of the console; another than loopback needs TLS or a proxy.")
    ] = "127.0.0.1"
    console_port: Annotated[int, Meta(ge=0, le=65_535, description="Port of the console; 0 takes any free one.")] = 6080
    console_users_file: Annotated[
        str, Meta(min_length=1, description="File of the console's users (`borderflow console users`).")
    ] = "console-users.json"
    console_trail_file: Annotated[
        str, Meta(min_length=1, description="Audit trail of what was looked at and done in the console.")
    ] = "console-trail.jsonl"
    console_tls_cert_file: Annotated[str, Meta(description="PEM file of the console's certificate.")] = ""
    console_tls_key_file: Annotated[str, Meta(description="PEM file of the console's key.")] = ""
    console_proxy_header: Annotated[
        str, Meta(description="Header in which a proxy that signs people in (OIDC) names the user; empty: passwords.")
    ] = ""
    console_proxy_addresses: Annotated[
        str, Meta(description="Addresses of that proxy, separated by commas; nobody else is believed.")
    ] = "127.0.0.1,::1"
    console_idle_minutes: Annotated[
        float, Meta(gt=0, le=720, description="Minutes without anybody at the page after which a session ends.")
    ] = 60.0
    console_days: Annotated[
        float, Meta(gt=0, le=90, description="Days of alerts that the console reads at its start.")
    ] = 15.0
    console_decisions: Annotated[
        int, Meta(ge=0, le=10_000_000, description="Latest decisions that the console can find again.")
    ] = 200_000
    console_simulated_time: Annotated[
        bool,
        Meta(description="Deadlines count from when a lodgement was sent: for a world whose calendar runs fast."),
    ] = False
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="The least severe log lines to write.")
    ] = "INFO"

    def __post_init__(self) -> None:
        """Refuse combinations that cannot work or must not be used. Raises `SettingsError`."""
        wrong: list[str] = []
        if self.environment == "production":
            if self.security_protocol in ("PLAINTEXT", "SASL_PLAINTEXT"):
                wrong.append(
                    f"{PREFIX}SECURITY_PROTOCOL: production refuses {self.security_protocol}; use SSL or SASL_SSL"
                )
            wrong += self._weak_pseudonym_key()
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password_file):
            wrong.append(
                f"{PREFIX}SASL_USERNAME, {PREFIX}SASL_PASSWORD_FILE: both are needed with {self.security_protocol}"
            )
        if self.heartbeat_s * 2 > self.session_timeout_s:
            wrong.append(f"{PREFIX}HEARTBEAT_S: must be at most half of {PREFIX}SESSION_TIMEOUT_S")
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            wrong.append(f"{PREFIX}TLS_CERT_FILE, {PREFIX}TLS_KEY_FILE: both or neither")
        if bool(self.console_tls_cert_file) != bool(self.console_tls_key_file):
            wrong.append(f"{PREFIX}CONSOLE_TLS_CERT_FILE, {PREFIX}CONSOLE_TLS_KEY_FILE: both or neither")
        if not self.step_names:
            wrong.append(f"{PREFIX}STEPS: names no step; there are {', '.join(STEPS)}")
        wrong += [
            f"{PREFIX}BROKERS: {address.strip()!r} is not `host:port`"
            for address in self.brokers.split(",")
            if not _is_address(address.strip())
        ]
        wrong += [
            f"{PREFIX}STEPS: unknown step {name!r}; there are {', '.join(STEPS)}"
            for name in self.step_names
            if name not in STEPS
        ]
        for name in (
            "sasl_password_file",
            "tls_ca_file",
            "tls_cert_file",
            "tls_key_file",
            "pseudonym_key_file",
            "archive_key_file",
            "console_tls_cert_file",
            "console_tls_key_file",
        ):
            path = getattr(self, name)
            if path and not Path(path).is_file():
                wrong.append(f"{PREFIX}{name.upper()}: no such file: {path}")
        if wrong:
            raise SettingsError("; ".join(wrong))

    def _weak_pseudonym_key(self) -> list[str]:
        """What production refuses of the pseudonym key, without a word of what it is."""
        if not self.has_pseudonym_key:
            return []  # said by `pseudonym_secret`: the sealer and the archiver make no pseudonyms
        variable = f"{PREFIX}PSEUDONYM_KEY_FILE" if self.pseudonym_key_file else f"{PREFIX}PSEUDONYM_KEY"
        try:
            size = len(self.pseudonym_secret().strip())
        except FileNotFoundError:
            return []  # said below, with the other files
        except OSError as error:
            return [f"{variable}: {self.pseudonym_key_file} cannot be read: {error.strerror}"]
        if size >= SHORTEST_KEY_BYTES:
            return []
        return [
            f"{variable}: the pseudonym key has {size} bytes, production needs {SHORTEST_KEY_BYTES} or more: "
            "make one with `head -c 32 /dev/urandom | base64`"
        ]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read `BORDERFLOW_*`; a variable that is unset or empty takes the default.

        Raises `SettingsError` naming every variable whose value is refused.
        """
        environ = os.environ if environ is None else environ
        hints = get_type_hints(cls, include_extras=True)
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for one in dataclasses.fields(cls):
            variable = PREFIX + one.name.upper()
            text = environ.get(variable, "")
            if not text:
                continue
            try:
                values[one.name] = msgspec.convert(text, hints[one.name], strict=False)
            except msgspec.ValidationError as error:
                shown = "the value" if one.name == "pseudonym_key" else repr(text)
                wrong.append(f"{variable}: {shown} is refused: {error}")
        if wrong:
            raise SettingsError("; ".join(wrong))
        return cls(**values)

    @staticmethod
    def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
        """`BORDERFLOW_*` variables that no setting reads: most often a misspelt name, so the worker warns."""
        environ = os.environ if environ is None else environ
        known = NO_SETTINGS | {PREFIX + one.name.upper() for one in dataclasses.fields(Settings)}
        return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)

    @property
    def step_names(self) -> tuple[str, ...]:
        """The steps to host, in the order of the flow."""
        wanted = [name.strip() for name in self.steps.split(",") if name.strip()]
        return tuple(sorted(dict.fromkeys(wanted), key=lambda n: STEPS.index(n) if n in STEPS else len(STEPS)))

    @property
    def has_pseudonym_key(self) -> bool:
        """Whether a key for pseudonyms is named, good or bad."""
        return bool(self.pseudonym_key or self.pseudonym_key_file)

    def pseudonym_secret(self) -> bytes:
        """The key for pseudonyms: of the file, else of the variable, else empty (development only).

        Raises `SettingsError` when production has none.
        """
        if self.environment == "production" and not self.has_pseudonym_key:
            raise SettingsError(f"{PREFIX}PSEUDONYM_KEY_FILE: production needs a pseudonym key")
        if self.pseudonym_key_file:
            return Path(self.pseudonym_key_file).read_bytes().strip()
        return self.pseudonym_key.encode()

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS context for brokers, None when the protocol is not encrypted. Raises `SettingsError`."""
        if self.security_protocol not in ("SSL", "SASL_SSL"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls_ca_file or None)
        except OSError as error:  # ssl.SSLError too
            raise SettingsError(f"{PREFIX}TLS_CA_FILE: {self.tls_ca_file}: {_said(error)}") from None
        if self.tls_cert_file:
            try:
                context.load_cert_chain(self.tls_cert_file, self.tls_key_file)
            except OSError as error:
                raise SettingsError(
                    f"{PREFIX}TLS_CERT_FILE, {PREFIX}TLS_KEY_FILE: {self.tls_cert_file}, {self.tls_key_file}: "
                    f"{_said(error)}"
                ) from None
        return context

    def client_options(self) -> dict[str, Any]:
        """Connection options that aiokafka's and kafka-python's clients both take. Raises `SettingsError`."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.brokers.split(","),
            "security_protocol": self.security_protocol,
        }
        if (context := self.tls_context()) is not None:
            options["ssl_context"] = context
        if self.security_protocol.startswith("SASL"):
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self._sasl_password()
        return options

    def _sasl_password(self) -> str:
        try:
            return Path(self.sasl_password_file).read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            raise SettingsError(f"{PREFIX}SASL_PASSWORD_FILE: {self.sasl_password_file}: is not UTF-8") from None
        except OSError as error:
            raise SettingsError(f"{PREFIX}SASL_PASSWORD_FILE: {self.sasl_password_file}: {_said(error)}") from None

    def consumer_options(self) -> dict[str, Any]:
        """The same for consumers, which read nothing of a transaction that was aborted."""
        return {**self.client_options(), "isolation_level": "read_committed"}


def _is_address(text: str) -> bool:
    """Whether a Kafka client can take this for a broker: a name or an address, and a port unless it is 9092."""
    parts = re.fullmatch(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]]+)(?::([0-9]{1,5}))?", text, re.ASCII)
    return parts is not None and 0 < int(parts[2] or 9092) < 65_536


def _said(error: OSError) -> str:
    return f"cannot be used: {error.strerror or error}"


def settings_page() -> str:
    """`docs/settings.md`: one row per setting, written from the dataclass."""
    hints = get_type_hints(Settings, include_extras=True)
    rows = [
        "# Settings",
        "",
        "Every setting is an environment variable. A bad value is refused by the name of its variable, at start.",
        "This page is written from `streams/settings.py` (`python -m streams.settings`); a test compares the two.",
        "",
        "| variable | default | values | what it is |",
        "|---|---|---|---|",
    ]
    for one in dataclasses.fields(Settings):
        kind, meta = hints[one.name].__origin__, hints[one.name].__metadata__[0]
        default = "" if one.default == "" else f"`{str(one.default).lower() if kind is bool else one.default}`"
        rows.append(f"| `{PREFIX}{one.name.upper()}` | {default} | {_values(kind, meta)} | {meta.description} |")
    return "\n".join(rows) + "\n"


def _values(kind: Any, meta: Meta) -> str:
    if kind is bool:
        return "`true`, `false`"
    if kind in (int, float):
        low = f"at least {meta.ge:,}" if meta.ge is not None else f"above {meta.gt:,}" if meta.gt is not None else ""
        high = f"at most {meta.le:,}" if meta.le is not None else ""
        return ", ".join(part for part in (low, high) if part) or "number"
    if kind is str:
        return "text"
    return ", ".join(f"`{value}`" for value in kind.__args__)


if __name__ == "__main__":
    Path("docs/settings.md").write_text(settings_page())
