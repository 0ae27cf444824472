"""net.core.rmem_max, a setting of the whole machine: raised while a farm needs it, then as it was before.

Several farms may be up on one machine. What they need, and what the setting was before the first of them, is kept in a
file that does not outlive a boot, as the setting does not.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
from msgspec import Struct

from farm.errors import NOT_JSON, FarmError
from farm.home import boot_id, locked, write_atomic

RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
RECORD = Path("/run/icecream-farm/socket-buffer.json")


class _Record(Struct, frozen=True):
    """``needs``: bytes, by the runtime folder of each farm; ``set``: what the farms have made of ``before``."""

    boot: str
    before: int
    set: int
    needs: dict[str, int]


def allow_socket_buffer(size: int, farm: Path) -> None:
    """See that net.core.rmem_max is at least ``size`` bytes as long as ``farm`` (its runtime folder) is up.

    Raises FarmError when it is lower and may not be changed.
    """
    with _locked():
        now = _now()
        record = _read() or _Record(boot_id(), now, now, {})
        if now != record.set:  # by somebody else, since: that is what will be restored
            record = msgspec.structs.replace(record, before=now)
        _apply(record, now, {**record.needs, str(farm): size})


def release_socket_buffer(farm: Path) -> None:
    """``farm`` is down: back to what the others need, or to what it was before; left alone if somebody changed it."""
    with contextlib.suppress(OSError), _locked():
        now = _now()
        record = _read()
        if record is None:
            return
        needs = {other: size for other, size in record.needs.items() if other != str(farm) and Path(other).exists()}
        if now == record.set:
            _apply(record, now, needs)
        else:
            _save(msgspec.structs.replace(record, needs=needs))
        if not needs:
            RECORD.unlink()


def _apply(record: _Record, now: int, needs: dict[str, int]) -> None:
    wanted = max([record.before, *needs.values()])
    if wanted != now:
        try:
            RMEM_MAX.write_text(f"{wanted}\n")
        except OSError as error:
            if wanted > now:
                raise FarmError(
                    "The kernel's limit for socket buffers is too low for the export of images.",
                    f"net.core.rmem_max is {now}, {wanted} is needed; changing it failed: {error}",
                    f"On the host: sysctl net.core.rmem_max={wanted}. Or set a lower export.buffer in farm.yaml",
                ) from error
            wanted = now
    _save(msgspec.structs.replace(record, set=wanted, needs=needs))


def _save(record: _Record) -> None:
    write_atomic(RECORD, msgspec.json.encode(record))


def _locked() -> contextlib.AbstractContextManager[None]:
    return locked(RECORD.with_suffix(".lock"), "", wait=True)


def _now() -> int:
    return int(RMEM_MAX.read_text())


def _read() -> _Record | None:
    try:
        record = msgspec.json.decode(RECORD.read_bytes(), type=_Record)
    except (OSError, *NOT_JSON):
        return None
    return record if record.boot == boot_id() else None
