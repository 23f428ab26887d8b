"""A headless Chromium for the browser tests, when the machine has one; they are skipped, and say why, when not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.centre import PASSWORD, Centre, centre

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SignIn = Callable[..., "Page"]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright, whose event loop must not outlast the tests of this folder."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=120_000
        )
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def held_centre(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    """One broker and one console for all tests that need no worker; each test raises alerts of its own."""
    with centre(tmp_path_factory.mktemp("centre")) as running:
        yield running


@pytest.fixture
def sign_in(browser: Browser, held_centre: Centre) -> Iterator[SignIn]:
    """Opens a page of its own for a user, signed in; every error on it fails the test."""
    contexts = []
    errors: list[str] = []

    def signed_in(user: str, *, url: str = "", width: int = 1280, height: int = 800, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_default_timeout(60_000)
        page.goto(f"{url or held_centre.url}/login")
        page.fill("#user", user)
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_selector(".dot.live")
        return page

    yield signed_in
    for context in contexts:
        context.close()
    assert not errors, errors
