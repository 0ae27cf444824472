"""Names on a machine with a log-in: what DHCP says of name servers, as the real networkd leaves it."""

from __future__ import annotations

from pathlib import Path

from farm.node.session.lts_values import FILE as LTS
from farm.node.session.machine_setup import resolver
from tests.lab import namespaces, until

NETWORK = Path(__file__).parents[2] / "images/common/root/etc/systemd/network/20-farm.network"
NETWORKD = """
set -eu
mount -t tmpfs none /run
mkdir -p /run/systemd/netif/leases /run/systemd/netif/links /run/systemd/netif/lldp /run/systemd/network "$1"
chown -R systemd-network /run/systemd/netif
mount --bind "$1" /run/systemd/netif/leases
chown systemd-network "$1"
mount --bind /sys /sys
mount -o remount,ro,bind /sys
cp "$0" /run/systemd/network/20-farm.network
exec /lib/systemd/systemd-networkd
"""
"""Without write access to /sys it does not wait for udev, as in a container."""


def test_what_dhcp_says_is_asked(tmp_path: Path) -> None:
    leases = tmp_path / resolver.LEASES
    with namespaces("10.98.1.1/24", "10.98.1.2/24") as (server, client):
        client.run("ip", "address", "flush", "dev", client.interface)
        network = client.folder / "farm.network"
        network.write_text(NETWORK.read_text().replace("Type=ether", f"Name={client.interface}"))
        options = [
            "--dhcp-option=6,10.98.1.1,10.98.1.7",
            "--dhcp-option=15,room.lan",
            "--dhcp-range=10.98.1.50,10.98.1.60",
        ]
        server.start(
            *("dnsmasq", "dnsmasq", "--no-daemon", "--port=0", "--conf-file=/dev/null", "--pid-file="),
            *("--bind-interfaces", f"--interface={server.interface}", f"--dhcp-leasefile={server.folder}/leases"),
            *options,
        )
        client.start("networkd", "unshare", "--mount", "sh", "-c", NETWORKD, str(network), str(leases))
        until(lambda: any(leases.glob("[0-9]*")), "there is no lease")
        # networkd takes it away when it ends.
        resolver.main(str(tmp_path))
    written = tmp_path / resolver.FILE
    assert "nameserver 10.98.1.1\nnameserver 10.98.1.7\nsearch room.lan\n" == written.read_text()

    # What lts.conf says goes before it, and nothing said is no reason to forget.
    resolver.main(str(tmp_path))
    assert "nameserver 10.98.1.1" in written.read_text()
    (tmp_path / LTS).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / LTS).write_text('{"DNS_SERVER": "10.0.0.1, nonsense", "SEARCH_DOMAIN": "school.lan"}')
    resolver.main(str(tmp_path))
    assert "nameserver 10.0.0.1\nsearch school.lan\n" == written.read_text()
