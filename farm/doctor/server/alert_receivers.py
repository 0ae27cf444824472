"""Whether the receivers of alerts that farm.yaml lists get them."""

from __future__ import annotations

import os
import pwd

from farm.config import AlertConfig
from farm.daemon.alerting.alert_memory import load_memory
from farm.daemon.alerting.delivery import receiver_names
from farm.doctor.check import Cause, Check, Outcome, fine, skip, together
from farm.doctor.server.serving import ServerFacts
from farm.view.wording import count

UNDELIVERED = Cause(
    "{receiver} did not get its last alert ({event}): {why}",
    "Correct it, then try it",
    "sudo farm alerts test",
    warns=True,
)
NO_PROGRAM = Cause(
    "{receiver}, which alerts in farm.yaml names, is not a program that can be run.",
    "Correct it, then try it",
    "sudo farm alerts test",
    warns=True,
)
NO_USER = Cause(
    "There is no user {user}, as whom farm.yaml has {receiver} run.",
    "Correct it, then try it",
    "sudo farm alerts test",
    warns=True,
)


def _alerts(facts: ServerFacts) -> Outcome:
    receivers = facts.instance.config.alerts
    if not receivers:
        return fine("farm.yaml lists no receiver of alerts.")
    if os.geteuid() != 0:
        return skip("Only root can see which alerts have failed.")
    failures = load_memory(facts.home).failures
    found = [outcome for each in receivers if (outcome := _command(each)) is not None]
    found += [
        UNDELIVERED.found(receiver=name, event=failure.event, why=failure.why)
        for name in receiver_names(receivers)
        if (failure := failures.get(name))
    ]
    return together(found) if found else fine(f"{count(len(receivers), 'receiver')}; the last alert came to each.")


def _command(config: AlertConfig) -> Outcome | None:
    if not config.command:
        return None
    if not os.access(config.command[0], os.X_OK) or os.path.isdir(config.command[0]):
        return NO_PROGRAM.found(receiver=config.command[0])
    try:
        pwd.getpwnam(config.user)
    except KeyError:
        return NO_USER.found(user=config.user, receiver=config.command[0])
    return None


CHECKS: tuple[Check[ServerFacts], ...] = (
    Check(
        "alerts",
        "Receivers get their alerts",
        "Nobody is told when a node is lost or an image was not built.",
        _alerts,
        (UNDELIVERED, NO_PROGRAM, NO_USER),
    ),
)
