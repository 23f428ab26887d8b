"""Certificates, SCRAM users and broker settings of a cluster that lets nobody in unasked. All made at test time."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Security:
    """A certificate authority in `folder`, a certificate and a SCRAM password (in a file) for each of `principals`."""

    def __init__(self, folder: Path, principals: Iterable[str]) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca_file))
        self.passwords: dict[str, str] = {}
        self.broker_file = folder / "broker.pem"
        self.broker_file.write_bytes(b"".join(self._issue("broker")))
        for name in principals:
            self.passwords[name] = secrets.token_hex(12)
            self.password_file(name).write_text(self.passwords[name] + "\n")
            key, chain = self._issue(name)
            self.key_file(name).write_bytes(key)
            self.cert_file(name).write_bytes(chain)

    def password_file(self, principal: str) -> Path:
        """The file with a principal's SCRAM password."""
        return self._folder / f"{principal}.password"

    def key_file(self, principal: str) -> Path:
        """A principal's private key, PEM."""
        return self._folder / f"{principal}.key.pem"

    def cert_file(self, principal: str) -> Path:
        """A principal's certificate, PEM; its common name is the principal."""
        return self._folder / f"{principal}.cert.pem"

    def scram_environment(self, principal: str, bootstrap: str) -> dict[str, str]:
        """Settings, as environment variables, of a process that logs in with SCRAM over TLS."""
        return {
            "BORDERFLOW_BROKERS": bootstrap,
            "BORDERFLOW_SECURITY_PROTOCOL": "SASL_SSL",
            "BORDERFLOW_SASL_MECHANISM": "SCRAM-SHA-512",
            "BORDERFLOW_SASL_USERNAME": principal,
            "BORDERFLOW_SASL_PASSWORD_FILE": str(self.password_file(principal)),
            "BORDERFLOW_TLS_CA_FILE": str(self.ca_file),
        }

    def mtls_environment(self, principal: str, bootstrap: str) -> dict[str, str]:
        """Settings, as environment variables, of a process that shows a client certificate."""
        return {
            "BORDERFLOW_BROKERS": bootstrap,
            "BORDERFLOW_SECURITY_PROTOCOL": "SSL",
            "BORDERFLOW_TLS_CA_FILE": str(self.ca_file),
            "BORDERFLOW_TLS_CERT_FILE": str(self.cert_file(principal)),
            "BORDERFLOW_TLS_KEY_FILE": str(self.key_file(principal)),
        }

    def properties(self) -> dict[str, str]:
        """Broker settings: TLS, SCRAM, and nothing allowed but by an ACL; the plain listener's user may do all."""
        prefix = {name: f"listener.name.{name.lower()}." for name in ("SCRAM", "MTLS")}
        tls = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.broker_file),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
        }
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            **tls,
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"{prefix['SCRAM']}sasl.enabled.mechanisms": "SCRAM-SHA-512",
            f"{prefix['SCRAM']}scram-sha-512.sasl.jaas.config": scram,
            f"{prefix['SCRAM']}ssl.client.auth": "none",
            f"{prefix['MTLS']}ssl.client.auth": "required",
            f"{prefix['MTLS']}ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:ANONYMOUS",  # only the plain listener, which only the test itself uses, has that user
        }

    def _issue(self, name: str) -> tuple[bytes, bytes]:
        """A private key in PKCS#8 (the only form that Kafka reads) and the certificate chain."""
        issued = self._authority.issue_cert("127.0.0.1", "localhost", common_name=name)
        key = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pkcs8, b"".join(part.bytes() for part in issued.cert_chain_pems)
