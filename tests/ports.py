"""Ports that nobody else is given, however long it takes until a server listens there."""

from __future__ import annotations

import socket

_HELD: list[socket.socket] = []


def hold(port: int = 0) -> socket.socket:
    """A socket that holds a port of 127.0.0.1, any unless it is said which. Raises `OSError` where it is taken.

    It is bound and does not listen. The kernel gives its port to nobody who asks for any, nobody else can hold it, and
    a connection to it is refused; a server that is told the port can listen there, because servers set SO_REUSEADDR.
    """
    held = socket.socket()
    try:
        held.bind(("127.0.0.1", port))
    except OSError:
        held.close()
        raise
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: so two could hold the same
    return held


def own_port() -> int:
    """A TCP port of 127.0.0.1 that is held until this process ends."""
    held = hold()
    _HELD.append(held)
    port: int = held.getsockname()[1]
    return port
