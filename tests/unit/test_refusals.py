"""Machines that got no address or no loader."""

from farm.watch.events import BootEvent, ServicesSeen, Stage, WatchedService
from farm.watch.refusals import MOST, NO_ADDRESS, REFUSAL_SECONDS
from farm.watch.state import Farm, fold, initial

MAC = "52:54:00:00:00:01"
ADDRESS = "10.77.0.57"


def after(farm: Farm, *events: BootEvent | ServicesSeen) -> Farm:
    for event in events:
        farm = fold(farm, event)
    return farm


def test_a_machine_without_an_address_is_remembered_and_is_nowhere_in_its_boot() -> None:
    farm = after(initial("lab", {}), BootEvent(None, 100.0, mac=MAC, refused=NO_ADDRESS))

    assert NO_ADDRESS == farm.refusals[MAC].what
    assert MAC not in farm.nodes


def test_an_address_ends_the_lack_of_one_but_not_of_a_loader() -> None:
    lease = BootEvent(None, 102.0, mac=MAC, address=ADDRESS)
    without = after(initial("lab", {}), BootEvent(None, 100.0, mac=MAC, refused=NO_ADDRESS), lease)
    foreign = after(initial("lab", {}), lease, BootEvent(None, 103.0, address=ADDRESS, refused="64-bit ARM"), lease)

    assert {} == without.refusals
    assert "64-bit ARM" == foreign.refusals[MAC].what
    script = BootEvent(Stage.LOADER, 104.0, mac=MAC, address=ADDRESS)
    assert {} == after(foreign, script).refusals


def test_a_loader_asked_for_from_an_address_that_nobody_has_is_no_news() -> None:
    assert {} == after(initial("lab", {}), BootEvent(None, 100.0, address=ADDRESS, refused="64-bit ARM")).refusals


def test_what_is_old_is_forgotten() -> None:
    farm = after(initial("lab", {}), BootEvent(None, 100.0, mac=MAC, refused=NO_ADDRESS))
    services = (WatchedService("nginx", "RUNNING"),)

    assert [MAC] == list(after(farm, ServicesSeen(services, 100.0 + REFUSAL_SECONDS)).refusals)
    assert {} == after(farm, ServicesSeen(services, 101.0 + REFUSAL_SECONDS)).refusals


def test_strangers_cannot_fill_the_memory_with_it() -> None:
    farm = initial("lab", {})
    for number in range(3 * MOST):
        mac = f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"
        farm = fold(farm, BootEvent(None, float(number), mac=mac, refused=NO_ADDRESS))

    assert MOST == len(farm.refusals)
    assert "52:54:00:00:00:bf" in farm.refusals, "the last one"
