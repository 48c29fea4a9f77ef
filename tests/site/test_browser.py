"""What a reader's browser makes of the site. LOSSLAB_BROWSER=all opens every page, otherwise a few are opened."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FEW = ("", "replications/gce/", "replications/gce/results/executed/", "docs/losses/gce/", "tables/")


def wait(what: Callable[[], Any], seconds: float = 30) -> Any:
    """The first value that is true."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.1)


SETTLED = (
    "return document.readyState === 'complete'"
    " && (!document.querySelector('.arithmatex') || document.documentElement.dataset.formulas === 'set')"
)
WRONG = "return [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.textContent)"


def open_page(browser: Any, address: str) -> None:
    """Open a page and wait until its formulas are set."""
    browser.get(address)
    assert wait(lambda: browser.execute_script(SETTLED)), f"{address}: formulas are not set"


def test_pages_open_without_errors_and_without_requests_elsewhere(browser: Any, address: str, site: Path) -> None:
    names = FEW
    if os.environ.get("LOSSLAB_BROWSER") == "all":
        names = tuple(
            file.parent.relative_to(site).as_posix().removeprefix(".") + "/"
            for file in sorted(site.rglob("index.html"))
        )
    problems = []
    for name in names:
        open_page(browser, f"{address}/{name.lstrip('/')}")
        problems += [
            f"{name}: {entry['message']}"
            for entry in browser.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]
        for entry in browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            url = (
                message["params"].get("request", {}).get("url", "")
                if message["method"] == "Network.requestWillBeSent"
                else ""
            )
            if urlsplit(url).scheme in ("http", "https", "ws", "wss") and not url.startswith(address):
                problems.append(f"{name}: asks for {url}")
    assert not problems, "\n".join(problems)


def test_search_finds_a_loss(browser: Any, address: str) -> None:
    open_page(browser, f"{address}/")
    browser.execute_script("document.querySelector('#__search').click()")
    field = browser.find_element("css selector", ".md-search__input")
    field.send_keys("truncated_gce")
    found = wait(
        lambda: browser.execute_script(
            "return [...document.querySelectorAll('.md-search-result__link')].map(a => a.href)"
        )
    )
    assert any("/docs/losses/truncated_gce/" in link for link in found), found


def test_a_page_fits_a_phone(browser: Any, address: str) -> None:
    """Wide tables scroll inside the page; the page itself does not."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        for name in FEW:
            open_page(browser, f"{address}/{name}")
            width = browser.execute_script("return document.documentElement.scrollWidth")
            assert width <= 392, f"{name}: {width} pixels wide"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_figure_grows_and_the_dark_scheme_can_be_chosen(browser: Any, address: str) -> None:
    open_page(browser, f"{address}/replications/gce/results/figures/")
    browser.execute_script("document.querySelector('a.glightbox').click()")
    assert wait(lambda: browser.find_elements("css selector", ".glightbox-container .gslide-image img"))
    open_page(browser, f"{address}/")
    scheme = "return document.body.getAttribute('data-md-color-scheme')"
    before = browser.execute_script(scheme)
    browser.execute_script("document.querySelector('.md-option:not(:checked) + label').click()")
    assert wait(lambda: browser.execute_script(scheme) != before, 5)
    assert {before, browser.execute_script(scheme)} == {"default", "slate"}
