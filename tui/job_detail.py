"""One job: its times and sizes, why it failed, what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace
from textual.app import ComposeResult
from textual.widgets import Static

from farm.attach import Attachment
from farm.view.live import Live
from farm.view.wording import (
    CLIENT_GONE,
    NODE_LOST,
    NODE_UNUSABLE,
    count,
    duration,
    exit_words,
    language,
    milliseconds,
    size,
)
from farm.watch.activity import NOBODY, HostKey, Job, JobPlace, JobState, stem
from farm.watch.activity.jobs import FALLBACK_SECONDS, SELF_MADE
from tui.base_view import Detail
from tui.filter import LOST_STATE, state_of
from tui.job_phases import PHASES_ABOUT, phases
from tui.links import BuildTarget, LinkLine, NodeTarget, PageLink
from tui.page import Page, sheet
from tui.widgets.share_bar import ShareBar

RELATED_SECONDS = 3.0
"""So often are other jobs of the same file looked for."""
BEFORE = "since before the watching began"
MAX_OTHERS = 8
"""Other compilations of the file that are listed."""
PLACE_TEXTS = {
    JobPlace.REMOTE: "on a node, for another machine",
    JobPlace.OWN: "by the submitter: the scheduler chose it",
    JobPlace.LOCAL: "by the submitter, without asking the scheduler",
    JobPlace.FALLBACK: "by the submitter, after a node had failed",
}
WHY = {
    CLIENT_GONE: "The client disconnected during compilation: the build was interrupted, or its machine was lost.",
    NODE_UNUSABLE: "The client could not use the node: it could not connect to it (port 10245), the node could not "
    "install the environment (disk or RAM full, a missing library), or the result was not usable. The client then "
    "compiles the file itself, unless ICECC_TEST_REMOTEBUILD is set.",
    NODE_LOST: (
        "The scheduler lost the node, or sent it away (block, kick), and counts every job there as failed. A "
        "compilation that had begun continues, and its result reaches the submitter, unless the machine was "
        "switched off or unplugged."
    ),
}


def job_key(job: Job) -> tuple[int, float]:
    """What a job is known by from its request to its end; ids begin anew with the scheduler."""
    return job.id, job.requested or job.begun


class Fact(Struct, frozen=True):
    """A line of the job's page."""

    label: str
    text: str
    tone: str = ""


def name(key: HostKey) -> str:
    """A daemon, so that two of the same name can be told apart."""
    return f"{key[0]} ({key[1]})" if key[0] and key[1] else key[0] or key[1] or "not known"


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at * 10) % 10}" if at else "not known"


def _share(part: int, whole: int) -> str:
    return f"{size(whole)}, sent as {size(part)} ({100 * part / whole:.0f} %)" if whole else "nothing"


def why_failed(job: Job) -> str:
    """What an exit code means; empty when the job did not fail."""
    if job.state is not JobState.FAILED:
        return ""
    if job.exit in WHY:
        return WHY[job.exit]
    if job.exit > 128:
        return (
            f"The compiler was killed by signal {job.exit - 128}, often because of too little memory; look at the "
            "node's log."
        )
    if job.place is JobPlace.REMOTE and not job.begun:
        return "The submitter cancelled the job before a node had begun."
    return "The compiler failed, most likely because of an error in the source; see the submitter's output."


def facts(job: Job, now: float) -> list[Fact]:
    """What is known of the job itself, in the order in which one asks."""
    state = state_of(job)
    tone = {JobState.FAILED: "bold", LOST_STATE: "bold"}.get(state, "")
    out = [
        Fact("file", job.file or "not known", "bold"),
        Fact("job", str(job.id)),
        Fact("state", _state_words(job, state, now), tone),
    ]
    if why := why_failed(job):
        out.append(Fact("why", why))
    out += [
        Fact("compiled", "no node has begun yet" if job.state is JobState.PENDING else PLACE_TEXTS[job.place]),
        Fact("submitter", name(job.submitter)),
    ]
    if job.begun:
        slot = f", slot {job.slot + 1}" if job.place in (JobPlace.REMOTE, JobPlace.OWN) else ""
        out.append(Fact("node", name(job.node) + slot))
    if spoken := language(job):
        out.append(Fact("language", spoken))
    out.append(Fact("requested", _clock(job.requested)))
    if job.begun:
        waited = f", after waiting {milliseconds(job.waited * 1000)}" if job.waited >= 0.001 else ""
        out.append(Fact("begun", _clock(job.begun) + waited))
    if job.ended:
        out.append(Fact("ended", _clock(job.ended)))
    return out + _measured(job)


def _state_words(job: Job, state: str, now: float) -> str:
    match state:
        case JobState.PENDING:
            waits = f"for {duration(now - job.requested)}" if job.requested else BEFORE
            return f"pending: waiting for a node {waits}"
        case JobState.RUNNING:
            return f"running for {duration(now - job.begun)}" if job.begun else f"running, {BEFORE}"
        case "lost":
            return "lost: the scheduler or the submitter disconnected, so its end is not known"
        case JobState.FAILED:
            return f"failed: {exit_words(job.exit)}"
        case _ if job.place in SELF_MADE:
            return f"ended after {milliseconds(job.real)}; submitters do not report the result"
        case _:
            return f"done in {milliseconds(job.real)}"


def _measured(job: Job) -> list[Fact]:
    if job.state not in (JobState.DONE, JobState.FAILED):
        return []
    out = [Fact("real time", milliseconds(job.real))]
    if job.user or job.system:
        spent = job.user + job.system
        share = f" ({100 * spent / job.real:.0f} % of real)" if job.real else ""
        out.append(Fact("processor", f"{milliseconds(job.user)} user, {milliseconds(job.system)} system{share}"))
        out.append(Fact("page faults", f"{job.page_faults:,}"))
    if job.in_bytes or job.out_bytes:
        out.append(Fact("in", _share(job.in_compressed, job.in_bytes)))
        out.append(Fact("out", _share(job.out_compressed, job.out_bytes)))
    return out


class Related(Struct, frozen=True):
    """Other jobs of the same submitter with the same file."""

    cause: Job | None = None
    """The job that failed on a node, of which this one is the fallback."""
    fallback: Job | None = None
    """What the submitter did itself after this one had failed on a node."""
    others: tuple[Job, ...] = ()
    """Other jobs of the same file, the newest first."""


def related(job: Job, jobs: Iterable[Job]) -> Related:
    """Those among ``jobs`` that have to do with this one; a fallback follows a failure within two minutes."""
    file = stem(job.file)
    same = [
        each
        for each in jobs
        if each.submitter == job.submitter
        and (each.id, each.requested) != (job.id, job.requested)
        and stem(each.file) == file
    ]
    cause = fallback = None
    if job.place is JobPlace.FALLBACK:
        failed = [each for each in same if _failed_remotely(each) and 0 <= job.begun - each.ended <= FALLBACK_SECONDS]
        cause = max(failed, key=lambda each: each.ended, default=None)
    elif _failed_remotely(job):
        after = [
            each for each in same if each.place is JobPlace.FALLBACK and 0 <= each.begun - job.ended <= FALLBACK_SECONDS
        ]
        fallback = min(after, key=lambda each: each.begun, default=None)
    rest = (each for each in same if each is not cause and each is not fallback)
    return Related(cause, fallback, tuple(sorted(rest, key=lambda each: -(each.ended or each.begun or each.requested))))


def _failed_remotely(job: Job) -> bool:
    return job.place is JobPlace.REMOTE and job.state is JobState.FAILED


def related_facts(job: Job, found: Related, now: float) -> list[Fact]:
    """What came before and after."""
    out = []
    if found.cause:
        out.append(Fact("because", f"node {name(found.cause.node)} had failed: {exit_words(found.cause.exit)}"))
    if found.fallback:
        out.append(
            Fact(
                "then",
                f"the submitter compiled it itself: {_state_words(found.fallback, state_of(found.fallback), now)}",
            )
        )
    elif _failed_remotely(job):
        out.append(Fact("then", "the submitter did not compile it itself, as far as is known"))
    for each in found.others[:MAX_OTHERS]:
        where = f" on {each.node[0]}" if each.begun and each.place is JobPlace.REMOTE else f", {each.place}"
        at = _clock(each.ended or each.begun or each.requested)
        out.append(Fact("also", f"{at} {_state_words(each, state_of(each), now)}{where}"))
    if len(found.others) > MAX_OTHERS:
        out.append(Fact("also", f"and {count(len(found.others) - MAX_OTHERS, 'time')} more"))
    return out


def links(job: Job) -> list[PageLink]:
    """Where one can go from a job."""
    out = []
    if job.begun and job.node != job.submitter:
        out.append(PageLink("node", name(job.node), NodeTarget(job.node)))
    if job.submitter != NOBODY:
        out.append(PageLink("submitter", name(job.submitter), NodeTarget(job.submitter)))
        out.append(PageLink("its", "build", BuildTarget(job)))
    return out


class JobDetail(Detail):
    """Shows one job, and goes on doing so while it runs."""

    TITLE = "A job"
    ABOUT = (
        f"The bar shows where the time went. {PHASES_ABOUT} Real time is measured by the node's clock, processor time "
        "by its kernel. If a job fails on a node, its submitter compiles the file again, which is shown here too. Left "
        "and right choose a link, enter follows it: to the node, the submitter or the build."
    )
    DEFAULT_CSS = """
    JobDetail > Page {
        padding: 0 1; background: $surface;
        & > ShareBar { margin: 1 0; }
        & > LinkLine { margin-bottom: 1; }
    }
    """

    def __init__(self, attachment: Attachment, live: Live, job: Job) -> None:
        super().__init__(attachment, live)
        self.subject = "job", job_key(job)
        self._job = job
        self._related = Related()
        self._looked = 0.0
        self._said: list[Fact] = []
        self._bar = ShareBar()
        self._links = LinkLine()

    @property
    def crumb(self) -> str:
        """The file, without its folders."""
        return self._job.file.rpartition("/")[2] or f"job {self._job.id}"

    @property
    def name_here(self) -> str:
        """The file, with its folders."""
        return self._job.file

    def body(self) -> ComposeResult:
        """Where the time went, where one can go, and one table; all of it scrolls."""
        with Page():
            yield self._bar
            yield self._links
            yield Static()

    def on_mount(self) -> None:
        """Enter follows a link."""
        self._links.focus(scroll_visible=False)

    def show(self, now: float) -> None:
        """Tell what is known now."""
        if not self._job.ended:
            self._job = self._now_known()
        if now - self._looked >= RELATED_SECONDS:
            self._looked = now
            self._related = related(self._job, [*self.live.ended, *self.live.jobs.values()])
        shares = phases(self._job, now)
        self._bar.display = bool(shares)
        self._bar.tell(shares)
        self._links.tell(links(self._job))
        said = [*facts(self._job, now), *related_facts(self._job, self._related, now)]
        if said != self._said:
            self._said = said
            self.query_one("Page > Static", Static).update(sheet((fact.label, fact.text, fact.tone) for fact in said))

    def _now_known(self) -> Job:
        """The present record of this job; one that is known no more has an end and no result."""
        key = job_key(self._job)
        if (present := self.live.jobs.get(self._job.id)) and job_key(present) == key:
            return present
        ended = (job for job in reversed(self.live.ended) if job.id == key[0] and job_key(job) == key)
        return next(ended, None) or replace(self._job, ended=self.live.time)
