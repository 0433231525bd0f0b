"""Digests of the photos that a run has seen: a photo that is read again must still be the same."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt64

from deconvnet.photos.sets import PhotoSet

DIGESTS, STAMP = "digests", "stamp"  # names of the arrays


class Digests:
    """Of each photo of a set its digest, 0 where it was not seen; eight bytes for each."""

    def __init__(self) -> None:
        self._digests = np.zeros(0, np.uint64)
        self._stamp = ""

    def add(self, photos: Sequence[int], digests: Sequence[int] | UInt64[np.ndarray, " n"]) -> None:
        """Write down the digests of photos of these indices."""
        if len(photos):
            self._grow(max(photos) + 1)
            self._digests[list(photos)] = np.asarray(digests, np.uint64)

    def merge(self, other: "Digests") -> None:
        """Add those of other photos."""
        self._grow(len(other._digests))
        seen = np.flatnonzero(other._digests)
        self._digests[seen] = other._digests[seen]

    def of(self, photo: int) -> int:
        """The digest of a photo; 0 if it was not seen."""
        return int(self._digests[photo]) if photo < len(self._digests) else 0

    def add_same(self, photos: PhotoSet, indices: Sequence[int], digests: UInt64[np.ndarray, " n"]) -> None:
        """Write down the digests of photos, of which those that were read before must be the same.

        Args:
            photos: the set, for names.
            indices: of the photos.
            digests: as they were read now.

        Raises:
            PhotoError: the first that has changed.
        """
        for photo, digest in zip(indices, digests, strict=True):
            photos.check_same(photo, self.of(photo), int(digest))
        self.add(indices, digests)

    def check(self, photos: PhotoSet) -> None:
        """Raise if a photo has changed, before a scan goes on; photos are read only if their files were written anew.

        Raises:
            PhotoError: the first that has changed, or that cannot be read any more.
        """
        if self._stamp and photos.stamp and self._stamp != photos.stamp:
            for photo in np.flatnonzero(self._digests).tolist():
                photos.check_unchanged(photo, self.of(photo))
        self._stamp = photos.stamp

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, to be saved."""
        return {DIGESTS: np.trim_zeros(self._digests, "b"), STAMP: np.frombuffer(self._stamp.encode(), np.uint8)}

    @staticmethod
    def of_arrays(arrays: Mapping[str, np.ndarray]) -> "Digests":
        """What `arrays` gave.

        Raises:
            KeyError, ValueError: something else was given.
        """
        digests = Digests()
        digests._digests, digests._stamp = arrays[DIGESTS].copy(), arrays[STAMP].tobytes().decode("ascii")
        if digests._digests.dtype != np.uint64 or digests._digests.ndim != 1:
            raise ValueError(f"{DIGESTS} are {digests._digests.dtype} of shape {digests._digests.shape}")
        return digests

    def _grow(self, count: int) -> None:
        """Make room for so many photos, and more, so that adding them one after another takes little time."""
        if count > len(self._digests):
            room = max(count, len(self._digests) * 3 // 2)
            self._digests = np.concatenate([self._digests, np.zeros(room - len(self._digests), np.uint64)])
