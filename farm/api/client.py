"""Asking farmd: its paths, what they answer, and what is said when no answer comes, declared once for all who ask.

`ask` blocks, over the socket of a farm's home or over the network; the dashboard puts the same questions by aiohttp
(farm/attach/farmd.py), since it watches at the same time and ends at once when it is told to.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import time
from collections import Counter
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from farm.api.answers import Builds, Done, Images, Jobs, LogIns, NodeHours, Readings, Refused, RunHeard, Tag
from farm.errors import NOT_JSON, FarmError
from farm.history.build_records import BuildDetail
from farm.history.runs import RunNews
from farm.home import Home
from farm.unix_http import UnixHTTPConnection
from farm.view.status import Status

ANSWER_SECONDS = 5.0
ORDER_TIMEOUT = 15.0
"""The scheduler may take some seconds for an order."""
MAX_ANSWER = 256 << 20
"""Bytes; all that the state may hold is less."""
SEEN_SECONDS = 20.0
"""As long farmd may take to see what supervisord says."""
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ApiQuestion(Generic[Answer]):
    """A request to farmd, and what answers it."""

    path: str
    kind: type[Answer]
    method: Literal["GET", "POST"] = "GET"
    body: bytes = b""

    def answer(self, status: int, body: bytes) -> Answer:
        """What farmd says, of which ``body`` was read. Raises FarmError when it refuses, or cannot be understood."""
        if len(body) > MAX_ANSWER:
            raise FarmError("farmd's answer is not valid.", f"The answer is longer than {MAX_ANSWER} bytes.", _AGAIN)
        try:
            if status != 200:
                error = msgspec.json.decode(body, type=Refused).error
                raise FarmError(error.what, error.why, error.mend)
            return msgspec.json.decode(body, type=self.kind)
        except NOT_JSON as error:
            raise FarmError("farmd's answer is not valid.", f"farmd has another version: {error}", _AGAIN) from error


_AGAIN = "Restart it: sudo farm up"


STATUS = ApiQuestion("/status", Status)
JOBS = ApiQuestion("/jobs", Jobs)
IMAGES = ApiQuestion("/images", Images)


def readings(key: str) -> ApiQuestion[Readings]:
    """What a node's agent measured lately."""
    return ApiQuestion(f"/nodes/{quote(key, safe='')}/readings", Readings)


def builds(limit: int, submitter: str | None, since: float | None) -> ApiQuestion[Builds]:
    """The newest; only those of one submitter, and those that ended at Unix time ``since`` or later."""
    query = {"limit": f"{limit}"}
    if submitter is not None:
        query["submitter"] = submitter
    if since is not None:
        query["since"] = f"{max(0, math.floor(since))}"
    return ApiQuestion(f"/builds?{urlencode(query)}", Builds)


def build(id: int) -> ApiQuestion[BuildDetail]:
    """The build of this number, with its files and nodes."""
    return ApiQuestion(f"/builds/{id}", BuildDetail)


def node_hours(hours: int) -> ApiQuestion[NodeHours]:
    """What each node did in the last hours."""
    return ApiQuestion(f"/nodes/hours?hours={hours}", NodeHours)


def log_ins(limit: int, since: float) -> ApiQuestion[LogIns]:
    """The newest log-ins, of those whose session lasted at Unix time ``since`` or later."""
    return ApiQuestion(f"/log-ins?limit={limit}&since={max(0, math.floor(since))}", LogIns)


def order(key: str, action: str) -> ApiQuestion[Done]:
    """Block, unblock or kick a node."""
    return ApiQuestion(f"/nodes/{quote(key, safe='')}/{action}", Done, "POST")


def tag(given: Tag) -> ApiQuestion[Done]:
    """Give a build its name."""
    return ApiQuestion("/builds/tag", Done, "POST", msgspec.json.encode(given))


def run_news(given: RunNews) -> ApiQuestion[RunHeard]:
    """Tell of a `farm run`."""
    return ApiQuestion("/runs", RunHeard, "POST", msgspec.json.encode(given))


def no_answer(where: str, why: str) -> FarmError:
    """That farmd at ``where`` does not answer."""
    return FarmError("farmd does not answer.", f"{where}: {why}", "Look at its log: farm logs farmd")


def silence(seconds: float) -> str:
    """Why, when nothing came."""
    return f"There was no answer for {seconds:.0f} s."


def ask(home: Home, question: ApiQuestion[Answer], timeout: float = ANSWER_SECONDS) -> Answer:
    """The answer of a home's farmd; ``timeout`` in seconds. Raises FarmError."""
    return _ask(UnixHTTPConnection(home.farmd_socket, timeout), question, str(home.farmd_socket), {})


def ask_elsewhere(api: str, token: str, question: ApiQuestion[Answer], timeout: float) -> Answer:
    """The answer of the farmd at a URL, or at HOST:PORT, to who has its token. Raises FarmError."""
    address = urlsplit(api if "//" in api else f"//{api}")
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(address.hostname or "", address.port, timeout=timeout)
    except (ValueError, http.client.InvalidURL) as error:
        raise no_answer(api, str(error)) from error
    return _ask(connection, question, api, {"Authorization": f"Bearer {token}"})


def _ask(
    connection: http.client.HTTPConnection, question: ApiQuestion[Answer], where: str, headers: dict[str, str]
) -> Answer:
    if question.body:
        headers = {**headers, "Content-Type": "application/json"}
    with contextlib.closing(connection):
        try:
            connection.request(question.method, question.path, question.body or None, headers)
            answer = connection.getresponse()
            body = answer.read(MAX_ANSWER + 1)
        except TimeoutError as error:
            raise no_answer(where, silence(connection.timeout or 0)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise no_answer(where, getattr(error, "strerror", None) or str(error)) from error
        return question.answer(answer.status, body)


def fetch_status(home: Home) -> Status:
    """What farmd knows. Raises FarmError."""
    return ask(home, STATUS)


def jobs_by_submitter(home: Home) -> Counter[str]:
    """Jobs in flight, by the name of the machine that asked for them. Raises FarmError."""
    return Counter(job.submitter[0] for job in ask(home, JOBS).jobs)


def wait_until_seen(home: Home) -> None:
    """Wait until farmd has seen that no service is starting any more, so that whoever asks it next is told so."""
    deadline = time.monotonic() + SEEN_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(FarmError):
            services = fetch_status(home).services
            if services and all(service.state != "STARTING" for service in services):
                return
        time.sleep(0.1)
