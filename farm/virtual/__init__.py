"""The virtual lab: a network namespace, a bridge and QEMU machines."""
