"""Something that listens with TLS and speaks no Kafka: it closes every connection when the handshake is over."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import trustme


@contextlib.contextmanager
def broker_with_certificate(
    folder: Path, *, until: datetime | None = None, authority: trustme.CA | None = None, demands: bool = False
) -> Iterator[tuple[str, str]]:
    """Where it listens, and the file of who signed its certificate; of that authority it may demand one of clients."""
    authority = authority or trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    began = datetime(2020, 1, 1, tzinfo=UTC)
    authority.issue_cert("127.0.0.1", not_before=began, not_after=until).configure_cert(shown)
    if demands:
        shown.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(shown)
    with closing_server(shown) as port:
        yield f"127.0.0.1:{port}", str(folder / "ca.pem")


@contextlib.contextmanager
def closing_server(shown: ssl.SSLContext, port: int = 0) -> Iterator[int]:
    """The port of a server that closes every connection when its handshake is over."""
    listening = socket.create_server(("127.0.0.1", port))

    def answer() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client.dup() as beneath:
                try:
                    shown.wrap_socket(client, server_side=True).close()
                except ssl.SSLError:  # as a broker does: the alert is out, and what the client sends meanwhile is read
                    beneath.settimeout(5)
                    with contextlib.suppress(OSError):
                        while beneath.recv(65_536):
                            pass
                except OSError:
                    pass

    answering = threading.Thread(target=answer)
    answering.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        answering.join()
