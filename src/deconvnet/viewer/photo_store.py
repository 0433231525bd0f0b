"""The photos of a bench, in memory: never written, and no more than fit. No torch here."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from deconvnet._errors import PhotoError

Item = TypeVar("Item")


class PhotoGoneError(PhotoError):
    """A photo is no longer in memory, or never was."""


@dataclass(frozen=True)
class _Held(Generic[Item]):
    item: Item
    size: int
    visitor: str
    order: int


class PhotoStore(Generic[Item]):
    """Photos by keys that cannot be guessed; those that were not used for the longest time make room for new ones.

    Args:
        most: number of photos.
        most_bytes: that all of them take.
    """

    def __init__(self, most: int = 256, most_bytes: int = 2**28) -> None:
        self._most, self._most_bytes, self._bytes, self._count = most, most_bytes, 0, 0
        self._photos: OrderedDict[str, _Held[Item]] = OrderedDict()
        self._lock = Lock()

    def add(self, item: Item, size: int, visitor: str) -> str:
        """Hold a photo that takes so many bytes.

        Returns:
            Its key.
        """
        key = secrets.token_urlsafe(12)
        with self._lock:
            self._count += 1
            self._photos[key] = _Held(item, size, visitor, self._count)
            self._bytes += size
            while len(self._photos) > 1 and (len(self._photos) > self._most or self._bytes > self._most_bytes):
                _, oldest = self._photos.popitem(last=False)
                self._bytes -= oldest.size
        return key

    def __getitem__(self, key: str) -> Item:
        with self._lock:
            if key not in self._photos:
                raise PhotoGoneError("the photo is no longer in memory: drop it on the page again.")
            self._photos.move_to_end(key)
            return self._photos[key].item

    def of(self, visitor: str) -> dict[str, Item]:
        """The photos that a visitor brought, in the order in which they came; nobody is told those of another."""
        with self._lock:
            mine = [(held.order, key, held.item) for key, held in self._photos.items() if visitor == held.visitor != ""]
        return {key: item for _, key, item in sorted(mine, key=lambda each: each[0])}

    def __len__(self) -> int:
        return len(self._photos)

    def __repr__(self) -> str:
        return f"<PhotoStore: {len(self)} photos, {self._bytes / 1e6:.2g} MB>"
