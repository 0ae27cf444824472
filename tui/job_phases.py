"""Where the time of a job went: until a node began, on the way, compiling."""

from __future__ import annotations

from farm.view.wording import duration, milliseconds
from farm.watch.activity import Job, JobState
from farm.watch.activity.jobs import SELF_MADE
from tui.widgets.lines import Tone
from tui.widgets.share_bar import BarPart

WAITED, SENT, COMPILED, RUNS = "░", "▒", "█", "▓"
PHASES_ABOUT = (
    "Waited: from the request until a node began, the connection and a missing environment included. Compiled: the "
    "processor time of the compiler. Sent: the rest of the time on the node, in which the source was on its way, or no "
    "processor was free."
)


def phases(job: Job, now: float) -> list[BarPart]:
    """What is known of it in the order of time; of a job that goes on, what has passed so far."""
    found: list[BarPart] = []
    end = job.ended or now
    if job.requested and job.place not in SELF_MADE:
        seconds = max(0.0, (job.begun or end) - job.requested)
        if job.state is JobState.PENDING:
            return [BarPart("waits", seconds, duration(seconds), WAITED, "muted")]
        found.append(_share("waited", seconds, WAITED, "muted"))
    if not job.begun:
        return found
    seconds = max(0.0, end - job.begun)
    if job.state is JobState.RUNNING:
        verb = "ran" if job.ended else "runs"
        return [*found, BarPart(verb, seconds, duration(seconds), RUNS, "accent")]
    spent = (job.user + job.system) / 1000
    compiled = min(seconds, spent or job.real / 1000)
    if job.place in SELF_MADE:
        return [_share("compiled by the submitter", job.real / 1000, COMPILED, "good")]
    return [*found, _share("sent", seconds - compiled, SENT, "hue1"), _share("compiled", compiled, COMPILED, "good")]


def _share(name: str, seconds: float, glyph: str, tone: Tone) -> BarPart:
    return BarPart(name, seconds, milliseconds(seconds * 1000), glyph, tone)
