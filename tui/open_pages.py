"""Going from page to page: what a link leads to is found, and brought to the front."""

from __future__ import annotations

from typing import Any

from textual.app import App

from farm.attach import Attachment
from farm.errors import FarmError
from farm.history.build_records import Build
from farm.view.live import Live
from farm.watch.activity import Job
from tui.base_view import open_page
from tui.build_detail import BuildDetailScreen
from tui.job_detail import JobDetail
from tui.links import BuildTarget, JobTarget, NodeTarget, Target
from tui.node_detail import NodeDetail

SEARCHED_BUILDS = 1000
"""So many of those that ended since are searched for a job's."""


async def open_target(app: App[Any], attachment: Attachment, live: Live, target: Target) -> None:
    """Open the page that a link leads to. Raises FarmError when there is none, or none any more."""
    match target:
        case JobTarget(job):
            open_page(app, JobDetail(attachment, live, job))
        case NodeTarget(host):
            if (key := live.by_host.get(host)) is None:
                why = "The machine has left, and was forgotten."
                raise FarmError(
                    f"{host[0] or host[1]} is no longer known.", why, "Those that are known: farm node list"
                )
            open_page(app, NodeDetail(attachment, live, key))
        case BuildTarget(job):
            found = build_of(job, await attachment.builds(SEARCHED_BUILDS, None, _moment(job)))
            if found is None:
                why = "Its submitter's build was removed, or has only just begun."
                raise FarmError("The history knows no build with this job.", why, "List them: farm history")
            open_page(app, BuildDetailScreen(attachment, live, await attachment.build(found.id)))


def build_of(job: Job, builds: list[Build]) -> Build | None:
    """The build that covers a job's time; the newest of its submitter's, if there are several."""
    mine = (each for each in builds if (each.submitter, each.address) == job.submitter)
    return next((each for each in mine if each.started <= _moment(job)), None)


def _moment(job: Job) -> float:
    """When it was surely part of its build."""
    return job.ended or job.begun or job.requested
