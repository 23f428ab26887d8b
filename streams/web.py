"""The small web server of a worker, and of what runs beside it: /healthz, /readyz and /metrics.

On loopback unless told otherwise.

Faust's web server is off: it binds every interface and serves tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from streams import metrics

if TYPE_CHECKING:
    from streams.settings import Settings


class WorkerWeb:
    """Serves the three pages; `unready` gives the reasons why the process is not ready, none when it is."""

    def __init__(
        self, settings: Settings, unready: Callable[[], list[str]], registry: CollectorRegistry = metrics.REGISTRY
    ) -> None:
        self._settings = settings
        self._unready = unready
        self._registry = registry
        self._runner: web.AppRunner | None = None
        self.port: int | None = None

    async def start(self) -> None:
        """Bind and serve; nothing when `web_host` is `off`. Raises `OSError` when the port is taken."""
        if self._settings.web_host == "off":
            return
        pages = web.Application()
        pages.router.add_get("/healthz", self._healthz)
        pages.router.add_get("/readyz", self._readyz)
        pages.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(pages, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.web_host, self._settings.web_port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop serving; safe to call twice."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve from a thread, for a process that has no event loop of its own; nothing where its port is 0.

        Raises as `start` does.
        """
        if not self._settings.web_port:
            yield
            return
        loop = asyncio.new_event_loop()
        thread = Thread(target=loop.run_forever, name="pages", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            yield
        finally:
            asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _healthz(self, request: web.Request) -> web.Response:
        """200 whenever the event loop gets round to it; that is the whole check."""
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        """200 once this process does what it is for, 503 with the reasons before."""
        reasons = self._unready()
        if reasons:
            return web.Response(status=503, text="\n".join(reasons) + "\n")
        return web.Response(text="ready\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
