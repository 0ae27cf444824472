"""What a simulated farm is going to do."""

import itertools
from ipaddress import IPv4Network
from itertools import islice, takewhile

import pytest

from farm.errors import FarmError
from farm.simulate.plan import PlannedJob, SimulationSettings, hosts, jobs
from farm.simulate.simulation import Simulation


def planned(settings: SimulationSettings, seconds: float) -> list[PlannedJob]:
    """All submitters' jobs of that time."""
    found: list[PlannedJob] = []
    for submitter in range(settings.submitters):
        found += takewhile(lambda job: job.due < seconds, jobs(settings, submitter))
    return found


def test_the_seed_decides() -> None:
    first, second, other = (list(islice(jobs(SimulationSettings(seed=seed), 0), 200)) for seed in (1, 1, 2))
    assert first == second
    assert first != other
    assert hosts(SimulationSettings(seed=1)) == hosts(SimulationSettings(seed=1))
    assert first != list(islice(jobs(SimulationSettings(seed=1), 1), 200))


@pytest.mark.parametrize("idle", [0.0, 0.25, 0.6])
def test_rate_and_shares(idle: float) -> None:
    settings = SimulationSettings(jobs=100, idle=idle, local=0.2, failures=0.1, seconds=2.0)
    found = planned(settings, 600)
    assert 100 == pytest.approx(len(found) / 600, rel=0.15)
    local = [job for job in found if job.local]
    assert 0.2 == pytest.approx(len(local) / len(found), rel=0.1)
    assert 0.1 == pytest.approx(sum(job.fails for job in found) / (len(found) - len(local)), rel=0.1)
    assert 2.0 == pytest.approx(sum(job.seconds for job in found) / len(found), rel=0.1)
    assert not any(job.fails for job in local)


def test_jobs_are_in_order_and_look_like_a_project() -> None:
    found = list(islice(jobs(SimulationSettings(idle=0.5), 3), 3000))
    assert sorted(found, key=lambda job: job.due) == found
    assert max(later.due - job.due for job, later in itertools.pairwise(found)) > 5, "a pause between builds"
    for job in found:
        project, folder, name = job.file.split("/")
        assert name.endswith((".c", ".cpp"))
        assert job.output.startswith(f"/home/dev04/{project}/")
        assert folder in job.output
        assert job.out_bytes >= 4096


def test_no_jobs() -> None:
    assert [] == list(jobs(SimulationSettings(jobs=0), 0))
    assert SimulationSettings(jobs=0).mean_seconds > 0


def test_slots_are_enough() -> None:
    settings = SimulationSettings(nodes=500, jobs=1000)
    assert settings.mean_seconds * settings.jobs < 500 * 4
    assert settings.parallel * settings.submitters > 500 * 4


def test_addresses() -> None:
    network = IPv4Network("10.78.0.0/16")
    simulation = Simulation(SimulationSettings(nodes=600), "10.78.0.1", 8765, network)
    places = [someone.daemon.place for someone in (*simulation.submitters, *simulation.nodes)]
    assert 606 == len({place.address for place in places})
    assert {10245} == {place.listen for place in places}
    shared = Simulation(SimulationSettings(nodes=600), "host", 8765)
    assert 600 == len({node.daemon.place.listen for node in shared.nodes})
    with pytest.raises(FarmError, match="too small"):
        Simulation(SimulationSettings(nodes=600), "10.78.0.1", 8765, IPv4Network("10.78.0.0/24"))
