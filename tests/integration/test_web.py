"""The dashboard in a real browser: Chromium opens what `farm top --web` serves of a simulated farm."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
import struct
import sys
import zlib
from collections.abc import Iterator

import aiohttp
import psutil
import pytest

from tests.browser import Browser, browsing
from tests.lab import PATIENCE, Namespace, namespaces, until

SERVER = "10.99.79.1"
PORT = 8123
NODES, SLOTS = 12, 4
FARM = (sys.executable, "-m", "farm")

_numbers = itertools.count()


class Served:
    """`farm top --web`, and what it prints."""

    def __init__(self, lab: Namespace) -> None:
        self.lab = lab
        self._log = f"web-{next(_numbers)}"
        self.process = lab.start(self._log, *FARM, "top", "--web", "--port", f"{PORT}", "--scheduler", SERVER)
        until(lambda: "http://" in lab.log(self._log), "farm top --web does not say where it is")

    @property
    def address(self) -> str:
        found = re.search(r"http://\S+", self.lab.log(self._log))
        assert found
        return found[0]

    def dashboards(self) -> set[int]:
        """Processes that it has started and that run."""
        found = set()
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.status() != psutil.STATUS_ZOMBIE and "top" in child.cmdline():
                    found.add(child.pid)
        return found

    async def runs(self, number: int) -> set[int]:
        """Wait until so many dashboards run."""
        await asyncio.to_thread(until, lambda: len(self.dashboards()) == number, f"there are not {number} dashboards")
        return self.dashboards()


@pytest.fixture(scope="module")
def lab() -> Iterator[Namespace]:
    with namespaces(f"{SERVER}/24") as (found,):
        found.scheduler()
        found.start(
            "simulate",
            *(*FARM, "simulate", "--scheduler", SERVER, "--network", "127.79.0.0/16"),
            *("--nodes", f"{NODES}", "--slots", f"{SLOTS}", "--jobs", "10", "--idle", "0"),
        )
        yield found


@pytest.fixture
def served(lab: Namespace) -> Iterator[Served]:
    web = Served(lab)
    yield web
    if web.process.poll() is None:
        lab.stop(web.process)


def scanlines(png: bytes) -> set[bytes]:
    """The different lines of a picture as it stores them; one of a single colour has hardly any."""
    at, data, width, height = 8, b"", 0, 0
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", body)
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    lines = zlib.decompress(data)
    stride = len(lines) // height
    assert stride > width
    return {lines[start : start + stride] for start in range(0, len(lines), stride)}


def test_the_page_shows_the_farm_and_answers_keys(served: Served) -> None:
    async def look() -> None:
        async with browsing(served.lab) as browser:
            tab = await browser.open(served.address)
            text = await tab.shows(f"/{NODES * SLOTS} slots", "1 Overview", "jobs/s")
            assert f"scheduler at {SERVER}:8765" in text
            assert "token" not in await tab.evaluate("location.href")
            async with asyncio.timeout(PATIENCE):  # what the terminal holds is painted a little later
                while len(scanlines(await tab.picture())) <= 100:
                    pass

            await tab.click(600, 300)  # a terminal in a page gets keys once it was clicked
            await tab.press("2")
            await tab.shows(f"{NODES} nodes", *(f"pc{number:03}" for number in range(1, NODES + 1)))
            await tab.press("?")
            await tab.shows("Keys: Nodes")

    served.lab.gather(look())


def test_each_page_has_a_dashboard_that_ends_with_it(served: Served) -> None:
    async def look() -> None:
        async with browsing(served.lab) as browser:
            first = await browser.open(served.address)
            await first.shows("1 Overview", "slots")
            (its,) = await served.runs(1)
            second = await browser.open(served.address)
            await second.shows("1 Overview", "slots")
            both = await served.runs(2)
            await second.click(600, 300)
            await second.press("7")
            await second.shows("it speaks", "Daemon")
            assert "it speaks" not in await first.text()

            await first.close()
            assert both - {its} == await served.runs(1)
            await second.press("2")
            await second.shows("pc001")
            # The browser is killed with a page open.
        await served.runs(0)

    served.lab.gather(look())
    assert served.process.poll() is None


def test_it_ends_with_pages_open_and_leaves_nothing(served: Served) -> None:
    async def look() -> None:
        async with browsing(served.lab) as browser:
            tab = await browser.open(served.address)
            await tab.shows("1 Overview", "slots")
            left = await served.runs(1)
            await asyncio.to_thread(served.lab.stop, served.process)
            await asyncio.to_thread(until, lambda: not any(map(psutil.pid_exists, left)), "a dashboard is left behind")
            await tab.says("Session ended.")

    served.lab.gather(look())


def test_on_loopback_only(served: Served) -> None:
    listening = served.lab.run("ss", "-Hltn", f"sport = :{PORT}").stdout.split()
    assert f"127.0.0.1:{PORT}" == listening[3]
    assert 1 == listening.count("LISTEN")

    def attempt() -> None:
        with socket.create_connection((SERVER, PORT), timeout=PATIENCE):
            pass

    with pytest.raises(ConnectionRefusedError):
        served.lab.call(attempt)


def requests(browser: Browser) -> list[str]:
    """Addresses that the browser has asked, without those that the page's policy kept it from."""
    asked = {
        each["params"]["requestId"]: each["params"]["request"]["url"]
        for each in browser.events
        if each["method"] == "Network.requestWillBeSent"
    }
    refused = [
        each["params"]["requestId"]
        for each in browser.events
        if each["method"] == "Network.loadingFailed" and each["params"].get("blockedReason") == "csp"
    ]
    return [url for number, url in asked.items() if number not in refused]


def foreign(urls: list[str]) -> list[str]:
    return [url for url in urls if not url.startswith(f"http://127.0.0.1:{PORT}/")]


def test_the_page_brings_nothing_from_elsewhere(served: Served) -> None:
    """A lab without the Internet waits for nothing, and nobody learns who looks at a farm."""

    async def look() -> None:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session, session.get(served.address) as page:
            assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
        async with browsing(served.lab) as browser:
            tab = await browser.open(served.address)
            await tab.shows("slots")
            sent = requests(browser)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):  # that one was refused is told after that it was wanted
                    while foreign(sent):
                        await asyncio.sleep(0.1)
                        sent = requests(browser)
        assert sent
        assert [] == foreign(sent)

    served.lab.gather(look())
