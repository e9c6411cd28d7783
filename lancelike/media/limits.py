"""How much of an image or sound is taken, and how long is waited for it."""

from __future__ import annotations

from dataclasses import dataclass

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
