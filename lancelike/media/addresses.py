"""Connecting to a host, unless it is this machine or one of its network.

What is looked at is the address that is connected to, so that a name that leads elsewhere the next time it is looked up
gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from typing import Any, TypeAlias

from lancelike.media.waiting import at_most

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
AllowedAddresses: TypeAlias = bool | tuple[str, ...]
"""Which addresses that are not public may be asked: all, none, or those of networks such as `"10.1.0.0/16"`."""
AddressInfo: TypeAlias = tuple[Any, ...]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RefusedAddress(Exception):
    """A host leads to an address that must not be asked; no OSError, which urllib3 would take for a lost connection."""


class Clock(threading.local):
    """When the fetch that runs in this thread must be over."""

    ends: float = float("inf")
    read_timeout_s: float = float("inf")

    def left_s(self, most_s: float = float("inf")) -> float:
        """Seconds left, at most *most_s*.

        Raises:
            TimeoutError: None are.
        """
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("its time is up")
        return min(left, most_s)


clock = Clock()


class TimedSocket(socket.socket):
    """A socket whose every read ends when the fetch must: an answer that drips would else outlast any read timeout."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Read what is there, within the time that is left."""
        self.settimeout(clock.left_s(clock.read_timeout_s))
        return super().recv_into(*args, **kwargs)


def connect(host: str, port: int, timeout_s: float, allowed: AllowedAddresses) -> socket.socket:
    """A connection to the first of *host*'s addresses that answers.

    Raises:
        RefusedAddress: One of its addresses is neither a public one nor *allowed*.
        OSError: None answers, or the host has none.
    """
    addresses = _resolve(host.strip("[]"), port)
    for *_, where in addresses:
        if not (is_public(where[0]) or is_allowed(where[0], allowed)):
            raise RefusedAddress(f"it leads to {where[0]}, which is no public address")
    failure: OSError = OSError("the host has no address")
    for family, kind, protocol, _, where in addresses:
        connection = TimedSocket(family, kind, protocol)
        try:
            connection.settimeout(clock.left_s(timeout_s))
            connection.connect(where)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def is_public(address: str) -> bool:
    """Whether *address* is one of the internet's, also where an IPv4 address is wrapped in an IPv6 one."""
    found = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    return found.is_global and not found.is_multicast


def is_allowed(address: str, allowed: AllowedAddresses) -> bool:
    """Whether *address* is one of the private ones that are *allowed*."""
    if isinstance(allowed, bool):
        return allowed
    found = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    return any(found in ipaddress.ip_network(network, strict=False) for network in allowed)


def _unwrapped(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _resolve(host: str, port: int) -> list[AddressInfo]:
    """The addresses of *host*."""
    try:
        return at_most(clock.left_s(), lambda: list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, f"{host[:80]!r} is no name of a host") from error
