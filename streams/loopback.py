"""Which hosts are this machine itself."""

from __future__ import annotations

import ipaddress


def on_this_machine(host: str) -> bool:
    """Whether a host is loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name, also one that begins like an address: 127.0.0.1.example.org
