"""What dnsmasq and nginx read and serve, rendered to files when the farm comes up or its configuration changes."""

from __future__ import annotations

import hashlib
import ipaddress
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
import msgspec

from farm.config import TREE_ROOT, Config, MachineConfig
from farm.config.known_hosts import KNOWN_FILE, read_known_hosts
from farm.config.lts_file import LTS_FILE
from farm.errors import FarmError
from farm.export import root_argument, tree_argument
from farm.home import Home, place, write_atomic
from farm.image.store import Store
from farm.image.verity import Verity
from farm.netboot import agreement, host_keys, node_files
from farm.netboot.boot_logs import NONE_FOR
from farm.netboot.lts_copies import serve_lts, usable_lts
from farm.netboot.settings import hyphens, machine_settings

LOADERS = Path("/usr/lib/ipxe")
"""Debian's package ipxe: undionly.kpxe for BIOS, snponly.efi for UEFI; both use the firmware's own NIC driver."""
OWN_LOADERS = ("undionly.kpxe", "snponly.efi")

ARCHITECTURES = {
    0: "bios", 6: "efi32", 7: "efi64", 9: "efi64", 10: "arm32", 11: "arm64",
    15: "http32", 16: "http64", 18: "httparm32", 19: "httparm64",
}  # fmt: skip
"""What firmware calls itself (option 93, RFC 4578; numbers: IANA, Processor Architecture Types) → dnsmasq's tag."""
FOREIGN = {
    "efi32": "32-bit_UEFI",
    "arm32": "32-bit_ARM",
    "arm64": "64-bit_ARM",
    "http32": "32-bit_UEFI",
    "httparm32": "32-bit_ARM",
    "httparm64": "64-bit_ARM",
}
"""Tags of machines that cannot run the farm's kernel → what they are."""

TFTP_MAX = 2000
"""Transfers at a time: dnsmasq needs a descriptor for each, of which a service has 8192 (farm/supervisor.py)."""

KERNEL_OPTIONS = "boot=farm panic=30 quiet loglevel=3 systemd.show_status=error mitigations=off cryptomgr.notests"

_templates = jinja2.Environment(
    loader=jinja2.FunctionLoader(lambda name: (resources.files("farm.netboot") / "templates" / name).read_text()),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True)
class Booted:
    """What machines boot: the image's name, and where its root is, by export (farm.export.root_argument)."""

    image: str
    roots: Mapping[str, str]
    verity: Verity | None = None
    """By which a node checks what it reads."""


def dnsmasq_conf(config: Config, home: Home, interface: str) -> str:
    """Configuration of dnsmasq (dnsmasq(8)): full DHCP and TFTP on the lab's interface."""
    return _templates.get_template("dnsmasq.conf.j2").render(
        config=config,
        interface=interface,
        logs=home.logs,
        state=home.state,
        http=home.http,
        netmask=ipaddress.ip_interface(config.address).netmask,
        ula=ula_prefix(config.name),
        url=f"http://{config.server}:{config.http_port}",
        tftp_max=TFTP_MAX,
        architectures=ARCHITECTURES,
        foreign=FOREIGN,
        none_for=NONE_FOR,
    )


def nginx_conf(config: Config, home: Home) -> str:
    """Configuration of nginx: the files below Home.http, on the lab's address."""
    return _templates.get_template("nginx.conf.j2").render(
        config=config, logs=home.logs, runtime=home.runtime, http=home.http, published=home.published
    )


def ula_prefix(name: str) -> str:
    """A unique local IPv6 prefix (RFC 4193) of 64 bits, the same for the same farm name."""
    digest = hashlib.sha256(f"farm {name}".encode()).hexdigest()
    network = ipaddress.IPv6Network(f"fd{digest[:2]}:{digest[2:6]}:{digest[6:10]}:{digest[10:14]}::/64")
    return str(network.network_address).removesuffix("::")


def kernel_command_line(config: Config, booted: Booted, root: str, mtu: int, options: str) -> str:
    """What a node's kernel is told; iPXE fills in ``${...}``. All of farm.* is read by the initrd or by farm-node."""
    verity = f"farm.verity={booted.verity.argument} " if booted.verity else ""
    other = f"farm.other={config.other_server} " if config.other_server else ""
    own = (
        f"initrd=initrd {KERNEL_OPTIONS} "
        f"farm.root={root} {verity}farm.image={booted.image} "
        f"farm.server={config.server} {other}farm.http={config.http_port} farm.mtu={mtu} "
        "BOOTIF=01-${netX/mac:hexhyp} "
        "ip=${netX/ip}::${netX/gateway}:${netX/netmask}:::off"
    )
    return " ".join(part for part in (own, options) if part)


def boot_scripts(config: Config, images: Mapping[str, Booted], mtu: int, extra: str = "") -> dict[str, str]:
    """File name → iPXE script: start.ipxe, default.ipxe, and one for each machine that differs.

    ``images``: what machines boot, by the names of their images.
    """

    def node(machine: MachineConfig | None) -> str:
        booted = images[config.image_of(machine)]
        options = " ".join(part for part in (extra, config.kernel_options_of(machine)) if part)
        cmdline = kernel_command_line(config, booted, booted.roots[config.root_of(machine)], mtu, options)
        return _templates.get_template("node.ipxe.j2").render(config=config, image=booted.image, cmdline=cmdline)

    local = _templates.get_template("local.ipxe.j2").render()
    scripts = {
        "start.ipxe": _templates.get_template("start.ipxe.j2").render(config=config),
        "default.ipxe": node(None) if config.nodes.unknown == "boot" else local,
    }
    for machine in config.listed:
        scripts[f"{hyphens(machine.mac)}.ipxe"] = node(machine) if machine.boot == "node" else local
    return scripts


def served_files(config: Config, images: Iterable[str]) -> list[str]:
    """Paths, below what is served, of all that machines need to boot these; `write_boot_files` writes them."""
    names = [hyphens(machine.mac) for machine in config.listed]
    return [
        *(f"boot/{name}.ipxe" for name in ("start", "default", *names)),
        *(f"nodes/{name}.json" for name in ("default", *names)),
        *(f"images/{image}/{file}" for image in images for file in ("kernel", "initrd")),
        *(f"loader/{loader}" for loader in OWN_LOADERS),
        agreement.FILE,
    ]


def write_boot_files(
    home: Home, config: Config, store: Store, images: Mapping[str, str], *, mtu: int, farm_key: str, extra: str = ""
) -> None:
    """Write all that is served by HTTP and TFTP; a node that boots meanwhile sees each file old or new, never half.

    ``images``: the version that next boots get, by the name of the image. Its files are linked where they can be, else
    copied; what belongs to machines no longer listed or to images no longer in the store is removed.
    """
    booted = {name: _booted(config, store, name, image) for name, image in images.items()}
    _write_all(home.http / "boot", boot_scripts(config, booted, mtu, extra))
    kinds = {name: store.get(image).kind for name, image in images.items()}
    contents = node_files.read_sources(config, home.config.parent)
    if lts := usable_lts(home.config.with_name(LTS_FILE)):
        contents[LTS_FILE] = lts
    node_files.serve(contents, home.http / "files")
    known = read_known_hosts(home.config.with_name(KNOWN_FILE)).keys
    settings = machine_settings(config, farm_key, kinds, node_files.hashes(contents), host_keys.read(), known)
    _write_all(
        home.http / "nodes",
        {name: msgspec.json.format(msgspec.json.encode(s)).decode() for name, s in settings.items()},
    )
    node_files.remove_others(contents, home.http / "files")
    serve_lts(home.config.with_name(LTS_FILE), home.http)
    served = home.http / "images"
    kept = {served / manifest.image for manifest in store.list()}
    for folder in {path.parent for path in served.rglob("*") if path.is_file()} - kept:
        shutil.rmtree(folder)
    for image in images.values():
        for file in ("kernel", "initrd"):
            place(store.path(image) / file, served / image / file)
    write_atomic(home.http / agreement.FILE, msgspec.json.encode(agreement.told(config, store, images)))
    for loader in OWN_LOADERS:
        source = LOADERS / loader
        if not source.is_file():
            raise FarmError(
                f"The boot loader {source} is missing.",
                "PXE firmware needs it first.",
                "Install it: apt-get install ipxe",
            )
        place(source, home.http / "loader" / loader)


def _booted(config: Config, store: Store, name: str, image: str) -> Booted:
    manifest = store.get(image)
    if name in config.images and config.images[name].tree:
        return Booted(image, {TREE_ROOT: tree_argument(config, name)})
    roots = {export: root_argument(config, store, manifest, export) for export in config.roots}
    return Booted(image, roots, manifest.verity)


def _write_all(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        write_atomic(folder / name, content)
    for path in folder.iterdir():
        if path.name not in files:
            path.unlink()
