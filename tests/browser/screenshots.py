"""Screenshots of the console over a running demo: `python -m tests.browser.screenshots [FOLDER]` (docs/images).

Starts `borderflow demo`, signs in by its one-time address, and takes each page as an officer sees it.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, TimeoutError, sync_playwright

ROOT = Path(__file__).parents[2]
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
WARM_UP_MS = 45_000
"""So long the demo runs first: until there is something to show."""
_OPEN_THE_NEWEST = """() => {
  const free = [...window.borderflow.live.rows.values()].filter((row) => row.s === "open" && !row.by);
  location.hash = `queue/${free.sort((a, b) => b.at - a.at)[0].id}`;
}"""


def main(folder: Path) -> None:
    """Take all of them."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium on this machine: apt-get install chromium")
    command = [sys.executable, "-m", "streams.cli", "demo", "--duration", "110", "--rate", "300"]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        address = _address(demo)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
            )
            context = browser.new_context(viewport=WIDE, device_scale_factor=1, color_scheme="light")
            page = context.new_page()
            page.goto(address)
            page.wait_for_selector(".dot.live")
            page.wait_for_timeout(WARM_UP_MS)
            _take(page, folder)
            browser.close()
    finally:
        demo.terminate()
        demo.communicate(timeout=60)


def _address(demo: subprocess.Popen[str]) -> str:
    assert demo.stdout is not None
    for line in demo.stdout:
        if found := re.search(r"http://\S+/login/once/\S+", line):
            return found.group()
    sys.exit("the demo did not say where its console is")


def _take(page: Page, folder: Path) -> None:
    def shot(name: str = "") -> None:
        page.wait_for_timeout(700)
        page.screenshot(path=folder / (f"console-{name}.png" if name else "console.png"))

    def set_(name: str, value: str) -> None:
        page.evaluate("([name, value]) => localStorage.setItem(name, value)", [name, value])

    shot("queue")
    for _ in range(20):  # the demo's own officers may be first
        page.evaluate(_OPEN_THE_NEWEST)
        page.wait_for_selector(".detail .next")
        page.keyboard.press("c")
        with contextlib.suppress(TimeoutError):
            page.wait_for_selector(".outcomes", timeout=1500)
            break
    shot()
    page.evaluate("() => { location.hash = 'day'; }")
    page.wait_for_timeout(1500)
    shot("day")
    page.evaluate("() => { location.hash = 'search'; }")
    shot("search")
    page.evaluate("() => { location.hash = 'trail'; }")
    shot("trail")
    set_("theme", "dark")
    page.goto(page.url.split("#")[0])
    page.wait_for_selector(".dot.live")
    shot("dark")
    set_("theme", "wall")
    set_("language", "ko")
    page.goto(page.url.split("#")[0])
    page.wait_for_selector(".dot.live")
    shot("wall-korean")
    set_("theme", "light")
    set_("language", "en")
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]  # a plain dictionary is one
    page.goto(page.url.split("#")[0])
    page.wait_for_selector(".dot.live")
    shot("phone")
    row = page.locator("[id^=row-]").first
    row.click()
    page.wait_for_selector(".detail .next")
    shot("phone-alert")
    page.context.clear_cookies()
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    page.goto(page.url.split("#")[0])
    page.wait_for_selector("form")
    shot("login")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("folder", type=Path, nargs="?", default=ROOT / "docs" / "images")
    main(arguments.parse_args().folder)
