"""The Debian packages and the wheel: installed on machines that have nothing else of ours, used, upgraded, removed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clean_machine import in_chroot
from tests.diskless import Diskless, diskless
from tests.lab import PATIENCE, until
from tests.packaged_machines import APT, OLD_VERSION, SERVER, USER, Room, add_user, build, installed, room, run

CLIENT = "icecream-farm-client_*.deb"
BOTH = "old/icecream-farm.deb", "old/icecream-farm-client.deb"
NEW = "apt-get -qq install -y /packages/icecream-farm_*.deb /packages/icecream-farm-client_*.deb 2>&1"
BACK = "apt-get -qq install -y --allow-downgrades /packages/old/*.deb 2>&1"
SERVERS_ONLY = ("dnsmasq-base", "nginx", "vblade", "nbdkit", "qemu-system-x86", "squashfs-tools", "python3-venv")
OURS = "find / -xdev -iname '*farm*' ! -path '/proc/*' ! -path '/packages*' ! -path '/var/lib/dpkg/*' ! -path '/home/*'"
PIPX = """
apt-get -qq install -y --no-install-recommends pipx 2>&1
export PATH=$PATH:/root/.local/bin
pipx install /packages/icecream_farm-*.whl
farm --version
farm up && exit 1
farm top --web --scheduler 127.0.0.1 2>&1 && exit 1
pipx install --force "$(echo /packages/icecream_farm-*.whl)[web]"
/root/.local/pipx/venvs/icecream-farm/bin/python -c 'import textual_serve'
! ls /root/.local/pipx/venvs/icecream-farm/bin | grep -E 'kiwi|supervisor'
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("packages")
    build(target)
    return target


@pytest.fixture(scope="module")
def desk_root(packages: Path) -> Iterator[Path]:
    with installed(packages, CLIENT) as root:
        yield root


@pytest.fixture(scope="module")
def server_root(packages: Path) -> Iterator[Path]:
    with installed(packages, *BOTH) as root:
        yield root


@pytest.fixture
def lab(server_root: Path) -> Iterator[Room]:
    with room(server_root) as found:
        yield found


def test_a_developers_machine_gets_only_what_it_needs(desk_root: Path) -> None:
    listed = in_chroot(desk_root, "dpkg-query -W -f '${Package}\n'; dpkg --verify icecream-farm-client").split()
    parts = {path.name for path in (desk_root / "usr/lib/icecream-farm/lib/python3.11/site-packages").iterdir()}

    assert "icecc" in listed
    assert set() == {*SERVERS_ONLY} & {*listed}
    assert set() == {"kiwi", "supervisor", "pip", "setuptools"} & parts
    assert {"textual", "textual_serve", "msgspec", "farm", "tui"} <= parts
    for path in ("bash-completion/completions/farm", "zsh/vendor-completions/_farm", "man/man1/farm-run.1.gz"):
        assert (desk_root / "usr/share" / path).is_file()


def test_packages_are_roots_and_lie_where_debian_wants_them(packages: Path) -> None:
    allowed = ("./usr/", "./etc/farm/", "./etc/logrotate.d/icecream-farm", "./lib/systemd/system/farm.service")
    for package in packages.glob("*.deb"):
        lines = subprocess.run(["dpkg-deb", "--contents", package], check=True, capture_output=True, text=True).stdout
        entries = [line.split(maxsplit=5) for line in lines.splitlines()]
        strange = [each[5] for each in entries if each[0][0] != "d" and not each[5].startswith(allowed)]
        assert [] == strange
        assert {"root/root"} == {each[1] for each in entries}
        writable = [each[5] for each in entries if each[0][0] != "l" and (each[0][5] == "w" or each[0][8] == "w")]
        assert [] == writable


def test_nothing_names_the_folder_in_which_it_was_made(desk_root: Path, server_root: Path) -> None:
    for root in (desk_root, server_root):
        found = in_chroot(root, "grep -rlE '/tmp/[^/]+/icecream-farm' /usr/lib/icecream-farm /usr/bin/farm || true")
        assert "" == found


class Developer:
    """Somebody at a desk, in whose home a project is, and who types what README says."""

    def __init__(self, desk: Diskless) -> None:
        self.desk = desk
        add_user(desk)

    def types(self, command: str) -> str:
        """What a command says on both streams; looking and building leave with 0, or 3 where something is wrong."""
        done = run(self.desk, f"cd; {command} 2>&1", USER, check=False)
        assert done.returncode in (0, 3), f"{command}\n{done.stdout}"
        return done.stdout

    def draws(self) -> str:
        """A picture of the dashboard."""
        self.types("farm top --screenshot picture.svg --after 1 --view nodes")
        return self.desk.path(f"/home/{USER}/picture.svg").read_text()

    def looks_and_builds(self) -> None:
        """What somebody does who has joined a farm, or whose iceccd has a scheduler."""
        assert "pc01" in self.types("farm status")
        until(lambda: "pc01" in self.draws(), "the dashboard does not show the node")
        built = self.types("farm run -- make -j4")
        assert "part7.cpp" in built
        assert "pc01" in built
        assert "pc01" in self.types("farm explain --last")
        assert "✗" not in self.types("farm doctor")
        assert "part0.cpp" in self.types('eval "$(farm env)" && make clean all')


def test_the_ten_minutes_of_a_developer_who_joins(desk_root: Path, lab: Room) -> None:
    with diskless(lab.desk, "desk", desk_root) as desk:
        developer = Developer(desk)

        assert f"{SERVER}:8765" in developer.types("farm join --list")
        assert "Joined" in developer.types(f"farm join {SERVER}")
        developer.looks_and_builds()
        shows_in_a_browser(desk, f"farm top --web --scheduler {SERVER}")
        assert "only the part of the farm that developers' machines need" in run(desk, "farm up", check=False).stderr
        developer.types("farm leave")

        assert "" == run(desk, f"pgrep -u {USER} iceccd", check=False).stdout
        assert "" == run(desk, "dpkg --verify icecream-farm-client").stdout
        assert "" == run(desk, "find /usr/lib/icecream-farm -newer /var/lib/dpkg/info/icecream-farm-client.list").stdout


def test_the_ten_minutes_of_a_developer_who_has_icecream(desk_root: Path, lab: Room) -> None:
    with diskless(lab.desk, "desk", desk_root) as desk:
        settings = desk.path("/etc/icecc/icecc.conf")
        own = f'ICECC_NETNAME="icecream-test"\nICECC_SCHEDULER_HOST="{SERVER}"\nICECC_ALLOW_REMOTE="no"\n'
        settings.write_text(settings.read_text() + own)
        run(desk, "/etc/init.d/iceccd start")

        Developer(desk).looks_and_builds()

        assert settings.read_text().endswith(own)


def shows_in_a_browser(machine: Diskless, command: str) -> None:
    """The page is there, and nowhere but on this machine."""
    process = machine.start("web", "sh", "-c", f"exec {command} --port 8123")
    until(lambda: "http://" in machine.log("web"), "farm top --web does not start")
    address = next(word for word in machine.log("web").split() if word.startswith("http://"))
    ask = f"import urllib.request as u; o = u.build_opener(u.HTTPCookieProcessor()); print(o.open('{address}').read())"
    assert "textual" in run(machine, f'python3 -c "{ask}"').stdout
    process.terminate()
    process.wait(PATIENCE)


def test_a_server_starts_nothing_until_it_is_told(lab: Room, server_root: Path) -> None:
    said = in_chroot(
        server_root,
        """
        systemd-analyze verify --man=no /lib/systemd/system/farm.service 2>&1 | grep farm.service || true
        find /etc/systemd /etc/rc?.d -name '*farm*' -o -name 'S*nginx' -o -name 'S*icecc*' -o -name nginx.service
        ls -A /etc/farm /var/lib/farm 2>/dev/null || true
        logrotate --debug /etc/logrotate.d/icecream-farm 2>&1 | grep -i error || true
        """,
    )
    assert "/etc/farm:" == said.strip()
    assert "kiwi" in run(lab.server, "/usr/lib/icecream-farm/bin/kiwi-ng --version").stdout.lower()
    assert {"nginx", "scheduler", "farmd", "dnsmasq", "iceccd"} <= lab.pids().keys()
    shows_in_a_browser(lab.server, "farm top --web")


def test_an_upgrade_touches_no_farm_and_no_build_and_can_be_taken_back(lab: Room, desk_root: Path) -> None:
    with diskless(lab.desk, "desk", desk_root) as desk:
        add_user(desk)
        run(desk, f"cd; farm join {SERVER}; farm run -- make -j2; make clean", USER)
        until(lambda: lab.builds(), "the farm remembers no build")
        before, builds = lab.pids(), lab.builds()
        building = desk.start("build", "runuser", "-u", USER, "--", "sh", "-c", "cd && HOME=$PWD farm run -- make -j2")

        said = run(lab.server, NEW).stdout

        assert "To change over: sudo farm up" in said
        assert OLD_VERSION not in run(lab.server, "dpkg-query -W 'icecream-farm*'").stdout
        assert "" == run(lab.server, "find /usr/share/doc/icecream-farm* -name gone").stdout
        assert before == lab.pids()
        assert 0 == building.wait(2 * PATIENCE), desk.log("build")
        for change in ("true", BACK):
            run(lab.server, f"{change} && farm up")
            assert before.keys() == lab.pids().keys()
            assert before["scheduler"] == lab.pids()["scheduler"], "jobs that run do not notice"
            until(lambda: builds <= lab.builds(), "builds are forgotten")
            run(desk, "cd; make clean; farm run -- make -j2", USER)


def test_removal_takes_the_farm_down_and_a_purge_leaves_nothing(lab: Room) -> None:
    run(lab.server, "apt-get -qq remove -y icecream-farm icecream-farm-client 2>&1")

    assert "" == run(lab.server, "pgrep -f '[s]upervisord|[n]ginx|[d]nsmasq|[v]blade|[i]cecc'", check=False).stdout
    left = set(run(lab.server, OURS).stdout.split())
    assert "/etc/farm/farm.yaml" in left
    places = ("/etc/farm", "/etc/logrotate.d/icecream-farm", "/var/lib/farm", "/var/log/farm", "/run/farm")
    assert [] == [path for path in left if not path.startswith(places)]

    run(lab.server, "apt-get -qq purge -y icecream-farm icecream-farm-client 2>&1")

    assert "" == run(lab.server, OURS).stdout


def test_a_machine_that_root_has_joined_leaves_before_the_package_goes(lab: Room, desk_root: Path) -> None:
    with diskless(lab.desk, "desk", desk_root) as desk:
        settings = desk.path("/etc/icecc/icecc.conf")
        before = settings.read_bytes()
        run(desk, f"farm join {SERVER}")
        assert SERVER.encode() in settings.read_bytes()

        run(desk, "apt-get -qq remove -y icecream-farm-client 2>&1")

        assert before == settings.read_bytes()
        assert "" == run(desk, OURS).stdout


def test_a_server_has_all_that_builds_an_image(packages: Path) -> None:
    with installed(packages, *BOTH) as root:
        said = in_chroot(root, "farm image build 2>&1")

    assert "next boots get it" in said


def test_pipx_installs_the_client_from_the_wheel(packages: Path) -> None:
    with installed(packages) as root:
        said = in_chroot(root, APT.format("python3") + PIPX)

    assert "farm, version" in said
    assert "only the part of the farm that developers' machines need" in said
    assert "The browser view is not installed." in said
