"""The lab's other boot server: whether it answers, and whether the two hold the same images."""

from __future__ import annotations

from farm.doctor.check import Cause, Check, Outcome, fine, skip
from farm.doctor.server.serving import ServerFacts
from farm.errors import FarmError
from farm.export import facts as export_facts
from farm.image.prebuilt.fetch import fetch_small
from farm.image.prebuilt.index import INDEX, MOST_BYTES, read_index
from farm.image.prebuilt.statement import label
from farm.image.store import Store
from farm.netboot import agreement

AWAY = Cause(
    "The other boot server, {address}, does not answer: {why}. Machines boot from this one alone.",
    "On the other server: sudo farm up",
    warns=True,
)
DISAGREE = Cause(
    "The other boot server, {address}, tells its nodes something else: {what}.",
    "Make farm.yaml and images the same on both (docs/two-servers.md), then on both",
    "sudo farm up",
)
LACKING = Cause(
    "A machine would not boot the same from either server: {what}.",
    "Wait a minute, or fetch the images on the second server",
    "sudo farm image mirror",
    warns=True,
)
UNLIKE = Cause(
    "This server does not hold the same images as {address}: {what}.",
    "Fetch them; the service `mirror` does so each minute",
    "sudo farm image mirror",
    warns=True,
)


def _other(facts: ServerFacts) -> Outcome:
    config = facts.instance.config
    if not config.other_server:
        return skip("farm.yaml names no other boot server.")
    try:
        theirs = agreement.fetch(config)
    except OSError as error:
        return AWAY.found(address=config.other_server, why=str(error))
    ours = agreement.told(config, Store(facts.home.images), facts.instance.images)
    if wrong := agreement.conflicts(ours, theirs):
        return DISAGREE.found(*wrong, address=config.other_server, what=wrong[0])
    if lacking := agreement.lacks(ours, theirs):
        return LACKING.found(*lacking, what=lacking[0])
    return _alike(facts) if config.mirror else fine(f"{config.other_server} answers, and serves the same.")


def _alike(facts: ServerFacts) -> Outcome:
    config, store = facts.instance.config, Store(facts.home.images)
    try:
        index = read_index(fetch_small(f"{config.mirror.rstrip('/')}/{INDEX}", MOST_BYTES), config.mirror)
    except FarmError as error:
        return UNLIKE.found(address=config.other_server, what=f"{error.what} {error.why}")
    here = {label(manifest): export_facts(store, manifest) for manifest in store.list()}
    lacks = [name for name in index.versions if name not in here]
    unlike = [name for name, found in index.versions.items() if name in here and here[name] != found.exports]
    what = [f"{', '.join(lacks)} is not here"] if lacks else []
    what += [f"{', '.join(unlike)} is exported in another way"] if unlike else []
    return UNLIKE.found(address=config.other_server, what="; ".join(what)) if what else fine("The same images.")


CHECKS: tuple[Check[ServerFacts], ...] = (
    Check(
        "other-server", "The other boot server answers and holds the same images",
        "Machines turn to it when this one is away.", _other, (AWAY, DISAGREE, LACKING, UNLIKE), ("interface",),
    ),
)  # fmt: skip
