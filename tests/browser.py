"""Chromium without a screen, driven over the Chrome DevTools Protocol. Source: chromedevtools.github.io."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from tests.lab import Namespace, until

PATIENCE = 60.0
SIZE = (1280, 800)
REMEMBER_TERMINAL = """
Object.defineProperty(Object.prototype, "fitAddon", {
    configurable: true,
    set(addon) {
        Object.defineProperty(this, "fitAddon", {value: addon, writable: true});
        window.shownTerminal = this.terminal;
    },
});
"""
"""textual-serve's page keeps its terminal to itself; this catches it when its maker gives it the first add-on."""
READ_TERMINAL = """
(() => {
    const terminal = window.shownTerminal;
    if (!terminal) return "";
    const line = y => terminal.buffer.active.getLine(y)?.translateToString(true) ?? "";
    return Array.from({length: terminal.rows}, (_, y) => line(y)).join("\\n");
})()
"""


class Browser:
    """One running Chromium."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        """What it has told unasked."""

    async def read(self) -> None:
        """Take what it says until it ends."""
        async for message in self._socket:
            said = message.json()
            if "method" in said:
                self.events.append(said)
            waiting = self._answers.pop(said.get("id", 0), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(said)

    async def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Send a command; what it answers."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        where = {"sessionId": session} if session else {}
        await self._socket.send_json({"id": number, "method": method, "params": params, **where})
        async with asyncio.timeout(PATIENCE):
            said = await answer
        if "error" in said:
            raise AssertionError(f"{method}: {said['error']}")
        result: dict[str, Any] = said["result"]
        return result

    async def open(self, address: str) -> Tab:
        """A new tab that shows a page."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = Tab(self, target, session)
        await tab.call("Page.enable")
        await tab.call("Network.enable")
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=REMEMBER_TERMINAL)
        await tab.call("Page.navigate", url=address)
        return tab


class Tab:
    """A page that is shown."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser, self._target, self._session = browser, target, session

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command to this page."""
        return await self._browser.call(method, self._session, **params)

    async def evaluate(self, expression: str) -> Any:
        """What JavaScript in it says."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def text(self) -> str:
        """What stands on the terminal in the page."""
        return str(await self.evaluate(READ_TERMINAL))

    async def shows(self, *parts: str) -> str:
        """Wait until all these can be read there; the whole text."""
        return await self._wait(self.text, parts)

    async def says(self, *parts: str) -> str:
        """Wait until all these can be read on the page outside the terminal; the whole text."""
        return await self._wait(lambda: self.evaluate("document.body.innerText"), parts)

    async def _wait(self, read: Callable[[], Awaitable[str]], parts: tuple[str, ...]) -> str:
        text = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    text = await read()
                    if all(part in text for part in parts):
                        return text
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{parts} cannot be read in the browser. It shows:\n{text}") from None

    async def click(self, x: int, y: int) -> None:
        """Press and release the mouse's button there."""
        at = {"x": x, "y": y, "button": "left", "clickCount": 1}
        await self.call("Input.dispatchMouseEvent", type="mousePressed", **at)
        await self.call("Input.dispatchMouseEvent", type="mouseReleased", **at)

    async def press(self, key: str) -> None:
        """Press and release a key that is a character."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self) -> bytes:
        """What it looks like, as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])

    async def close(self) -> None:
        """Close it as a user does."""
        await self._browser.call("Target.closeTarget", targetId=self._target)


@contextlib.asynccontextmanager
async def browsing(namespace: Namespace) -> AsyncIterator[Browser]:
    """A browser in a namespace, for a coroutine that runs inside."""
    profile = Path(tempfile.mkdtemp(prefix="chromium-", dir=namespace.folder))
    process = await asyncio.to_thread(
        namespace.start,
        "chromium",
        *("env", f"HOME={profile}", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", "--disable-background-timer-throttling", "--disable-dev-shm-usage"),
        *(f"--window-size={SIZE[0]},{SIZE[1]}", "--remote-debugging-port=0", f"--user-data-dir={profile}"),
    )
    try:
        address = await asyncio.to_thread(_debugger, profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
            browser = Browser(socket)
            reading = asyncio.create_task(browser.read())
            yield browser
            reading.cancel()
            await asyncio.wait([reading])
    finally:
        await asyncio.to_thread(namespace.stop, process)


def _debugger(file: Path, process: subprocess.Popen[bytes]) -> str:
    """The address that Chromium writes into a file when it is ready: a port, and a path on the next line."""
    until(
        lambda: process.poll() is not None or (file.exists() and file.read_text().count("\n")), "no Chromium", PATIENCE
    )
    assert process.poll() is None, "Chromium has ended."
    port, path = file.read_text().split()
    return f"ws://127.0.0.1:{port}{path}"
