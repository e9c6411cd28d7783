"""How much of an image or sound is taken, and how long is waited for it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import reduce

_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """Bounds on what is read and decoded.

    Attributes:
        max_bytes: Most bytes of a file or answer; reading stops there, whatever length was announced.
        max_pixels: Most pixels of an image, width times height; looked at before they are decoded.
        max_audio_s: Most seconds of a sound; looked at before they are decoded.
        timeout_s: Seconds for a URL in all: tries, redirects and waits together.
        connect_timeout_s: Seconds to connect to one address.
        read_timeout_s: Seconds without a byte.
        max_redirects: Redirects followed.
        max_retries: Further tries of a URL whose failure may pass: a timeout, a lost connection, 408, 429, 5xx.
        allow_private_addresses: Whether URLs may lead to this machine or its network; or to which addresses of them,
            as networks such as `("10.1.0.0/16", "127.0.0.2")`.
    """

    max_bytes: int = 64 << 20
    max_pixels: int = 64_000_000
    max_audio_s: float = 3600.0
    timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 10.0
    max_redirects: int = 5
    max_retries: int = 2
    allow_private_addresses: bool | tuple[str, ...] = False

    @property
    def patience_s(self) -> float:
        """Seconds after which a URL is taken for one that hangs, and others are fetched in its place."""
        return min(_PATIENCE_S, self.timeout_s / 10)


DEFAULT = MediaLimits()


def strictest(several: Iterable[MediaLimits]) -> MediaLimits:
    """What all of *several* allow; the defaults where there are none."""
    found = list(several)
    if not found:
        return DEFAULT
    numbers = [each.name for each in fields(MediaLimits) if each.name != "allow_private_addresses"]
    lowest = {name: min(getattr(limits, name) for limits in found) for name in numbers}
    allowed = reduce(_both_allow, [limits.allow_private_addresses for limits in found])
    return MediaLimits(**lowest, allow_private_addresses=allowed)


def _both_allow(one: bool | tuple[str, ...], other: bool | tuple[str, ...]) -> bool | tuple[str, ...]:
    if isinstance(one, bool) or isinstance(other, bool):
        return one and other
    narrow = [network for network in one if any(_is_within(network, wide) for wide in other)]
    return (*narrow, *(network for network in other if any(_is_within(network, wide) for wide in one)))


def _is_within(narrow: str, wide: str) -> bool:
    inner, outer = ipaddress.ip_network(narrow, strict=False), ipaddress.ip_network(wide, strict=False)
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)
