"""DHCP packets from strangers."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from farm.netboot.rival import client_payload, discover_packet, offering_server

TRANSACTION = b"\x01\x02\x03\x04"
MAGIC = b"\x63\x82\x53\x63"


def offer(options: bytes, transaction: bytes = TRANSACTION) -> bytes:
    return b"\x02\x01\x06\x00" + transaction + bytes(228) + MAGIC + options


def udp(payload: bytes, port: int = 68, protocol: int = 17, ip_options: bytes = b"") -> bytes:
    header = bytes([0x40 | 5 + len(ip_options) // 4, *bytes(8), protocol, *bytes(10)]) + ip_options
    return header + (67).to_bytes(2, "big") + port.to_bytes(2, "big") + bytes(4) + payload


def test_the_question_is_a_broadcast_discover_from_its_mac() -> None:
    packet = discover_packet(TRANSACTION, b"\x02abcde")

    assert 1 == packet[0]
    assert TRANSACTION == packet[4:8]
    assert b"\x80\x00" == packet[10:12]
    assert b"\x02abcde" == packet[28:34]
    assert MAGIC + b"\x35\x01\x01" == packet[236:243]
    assert b"\xff" == packet[-1:]
    assert b"PXEClient" in discover_packet(TRANSACTION, b"\x02abcde", pxe=True)


@given(st.ip_addresses(v=4), st.lists(st.tuples(st.integers(1, 53), st.binary(max_size=40)), max_size=4))
def test_the_server_is_read_from_its_offer_wherever_it_stands(server: object, before: list[tuple[int, bytes]]) -> None:
    options = b"".join(bytes([kind, len(value)]) + value + b"\0" for kind, value in before)

    packet = offer(options + b"\x36\x04" + socket.inet_aton(str(server)) + b"\xff")

    assert str(server) == offering_server(client_payload(udp(packet)), TRANSACTION)


def test_offers_to_others_and_questions_are_no_answer() -> None:
    packet = offer(b"\x36\x04\x0a\x00\x00\x01\xff")

    assert offering_server(packet, b"\x09\x09\x09\x09") is None
    assert offering_server(b"\x01" + packet[1:], TRANSACTION) is None
    assert offering_server(offer(b"\xff\x36\x04\x0a\x00\x00\x01"), TRANSACTION) is None
    assert offering_server(offer(b"\x36\x02\x0a\x00\xff"), TRANSACTION) is None


def test_only_udp_to_the_clients_port_counts() -> None:
    assert b"x" == client_payload(udp(b"x"))
    assert b"x" == client_payload(udp(b"x", ip_options=bytes(8)))
    assert b"" == client_payload(udp(b"x", port=69))
    assert b"" == client_payload(udp(b"x", protocol=6))
    assert b"" == client_payload(b"\x60" + udp(b"x")[1:])


@given(st.binary(max_size=600))
def test_no_packet_makes_it_fail(packet: bytes) -> None:
    offering_server(packet, TRANSACTION)
    offering_server(offer(packet), TRANSACTION)
    offering_server(client_payload(packet), TRANSACTION)
    offering_server(client_payload(udp(packet)), TRANSACTION)
