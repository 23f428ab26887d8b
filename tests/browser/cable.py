"""What a test does to requests on their way: a cable that can be cut and mended, and single requests caught."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

_PROBED = "async () => { while ((await fetch('/caught')).status !== 204); }"


def intercept(page: Page, pattern: str, handler: Callable[[Route], object], *, times: int | None = None) -> None:
    """`page.route` for requests of the page as it is: in force when this returns.

    Chromium may let a request by that a page sends just after `page.route` returned (7 of 120 on a busy machine). Those
    of a page that is loaded after it are all caught.
    """
    page.route(pattern, handler, times=times)
    page.route("**/caught", lambda route: route.fulfill(status=204))
    page.evaluate(_PROBED)
    page.unroute("**/caught")


class Cable:
    """Plain TCP between a browser and a console, forwarded to `port` while it is whole; `url` is this end."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._whole = True
        self._lock = threading.Lock()  # what is accepted while the cable is cut is cut too
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        with self._lock:
            self._whole = False
            ends = list(self._ends)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def mend(self) -> None:
        """Let new connections through."""
        self._whole = True

    def close(self) -> None:
        """Cut it for good."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with self._lock:
                    if not self._whole:
                        near.close()
                        continue
                    far = socket.create_connection(("127.0.0.1", self._port))
                    self._ends |= {near, far}
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            self._ends.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
