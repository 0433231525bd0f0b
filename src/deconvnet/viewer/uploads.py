"""Bodies of requests, received within limits: of each, and of all together. No torch here."""

import asyncio
from collections.abc import AsyncIterator

_SECONDS = 120  # that a body may take


class TooLargeError(Exception):
    """A body is larger than the limit."""


class FullError(Exception):
    """All bodies that are being received take as much memory as they may."""


class Uploads:
    """Receives bodies, and bounds the memory that they take until they are decoded.

    Args:
        most: bytes of a single one.
        most_at_once: bytes of all that are in memory at a time.
    """

    def __init__(self, most: int, most_at_once: int) -> None:
        self.most, self._most_at_once, self._bytes = most, max(most, most_at_once), 0

    async def receive(self, stream: AsyncIterator[bytes], length: str | None) -> bytes:
        """A body, which counts as in memory until it is given to `release`.

        Args:
            stream: its parts.
            length: what the request says of its length, if anything.

        Raises:
            TooLargeError, FullError: see there.
            TimeoutError: it takes too long.
        """
        if length is not None and length.isdecimal() and int(length[:20]) > self.most:
            raise TooLargeError
        body = bytearray()
        try:
            async with asyncio.timeout(_SECONDS):
                async for part in stream:
                    if len(body) + len(part) > self.most:
                        raise TooLargeError
                    if self._bytes + len(part) > self._most_at_once:
                        raise FullError
                    self._bytes += len(part)
                    body += part
        except BaseException:
            self._bytes -= len(body)
            raise
        return bytes(body)

    def release(self, body: bytes) -> None:
        """Let a body's memory be used for others."""
        self._bytes -= len(body)
