"""Telemetry as Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats)."""

from __future__ import annotations

from typing import Any

from farm.node.roles import load

Samples = list[tuple[dict[str, str], float]]
Family = tuple[str, str, str, Samples]
"""Name without ``farm_node_``, kind, help, and each sample with its labels."""


def render(snapshot: dict[str, Any], cpu_seconds: list[dict[str, float]]) -> str:
    """Sampler.snapshot() and Sampler.cpu_seconds() as metrics named ``farm_node_…``, in base units."""
    info = {key: str(snapshot[key]) for key in ("farm", "name", "mac", "image", "version")}
    cpu: Samples = [
        ({"cpu": str(number), "mode": mode}, seconds)
        for number, modes in enumerate(cpu_seconds)
        for mode, seconds in modes.items()
    ]
    memory, overlay, network = snapshot["memory"], snapshot["overlay"], snapshot["network"]
    nic = {"device": network["nic"]}
    families: list[Family] = [
        ("info", "gauge", "Name and image of the node.", [(info, 1)]),
        *(family for role, section in snapshot["roles"].items() for family in load(role).metrics(section)),
        ("uptime_seconds", "gauge", "Time since the kernel started.", [({}, snapshot["uptime"])]),
        (
            "boot_stage_seconds",
            "gauge",
            "Time from the kernel's start until a boot stage was reached.",
            [({"stage": stage}, seconds) for stage, seconds in snapshot["boot"].items()],
        ),
        ("cpu_seconds_total", "counter", "Time that the processors spent in each mode.", cpu),
        (
            "load",
            "gauge",
            "Load average.",
            [({"minutes": minutes}, load) for minutes, load in zip(("1", "5", "15"), snapshot["load"], strict=True)],
        ),
        ("memory_total_bytes", "gauge", "Memory.", [({}, memory["total"])]),
        ("memory_available_bytes", "gauge", "Memory available to programs.", [({}, memory["available"])]),
        ("overlay_size_bytes", "gauge", "RAM available for writes to the root.", [({}, overlay["total"])]),
        ("overlay_used_bytes", "gauge", "RAM used by writes to the root.", [({}, overlay["used"])]),
        ("network_receive_bytes_total", "counter", "Bytes received by the boot NIC.", [(nic, network["received"])]),
        ("network_transmit_bytes_total", "counter", "Bytes sent by the boot NIC.", [(nic, network["sent"])]),
        (
            "temperature_celsius",
            "gauge",
            "Temperatures, if the machine has sensors.",
            [({"sensor": sensor}, degrees) for sensor, degrees in snapshot["temperatures"].items()],
        ),
    ]
    return "".join(_family(*family) for family in families if family[3])


def _family(name: str, kind: str, text: str, samples: Samples) -> str:
    lines = [f"# HELP farm_node_{name} {text}", f"# TYPE farm_node_{name} {kind}"]
    lines += [f"farm_node_{name}{_labels(labels)} {float(value)!r}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    escaped = (
        (key, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for key, value in labels.items()
    )
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped) + "}"
