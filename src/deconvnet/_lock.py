"""One run for each folder: a lock file that names its process, under a lock of the operating system.

The system's lock (`flock`, on Windows `msvcrt.locking`) ends with its process, however that ends, so it tells for
certain that a run is at work. It is not inherited by the processes that a run starts. A lock file that is there
although nobody holds the system's lock is what a killed run left. On this machine that is certain too. On another
machine it is not, because some network disks keep such locks to one machine; then the user decides.
"""

import errno
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psutil

from deconvnet._errors import ArgumentError, DeconvNetError, DeconvNetWarning

_REFUSED = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_LONGEST = 4096  # bytes of a lock file
_BYTE = 2**20  # of the file, which is what Windows locks: behind the content, so that others can read that


class Holder(msgspec.Struct, frozen=True):
    """The run that holds a lock.

    Attributes:
        host: its machine's name.
        process: its id there.
        since: when it began.
    """

    host: str
    process: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    since: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host!r}, since {self.since}"


class Lock:
    """A lock that this run holds.

    Args:
        path: of its file.
        descriptor: of the file, locked.
        killed: the run that was killed and left the file; None if none did.
    """

    def __init__(self, path: Path, descriptor: int, killed: Holder | str | None = None) -> None:
        self.path, self.descriptor, self._killed = path, descriptor, killed

    def warn_of_killed(self, what: Path) -> None:
        """Warn, for the first time only, of the run that was killed, as this one now goes on in its place.

        Args:
            what: is locked, for the message.

        Warns:
            DeconvNetWarning: there was one.
        """
        killed, self._killed = self._killed, None
        if killed is not None:
            warnings.warn(
                f"the run that was at work in {str(what)!r} ({killed}) is gone without having ended properly. This run "
                "takes its place.",
                DeconvNetWarning,
                stacklevel=2,
            )

    def holds(self) -> bool:
        """Whether the file is still there and no other run has taken its place."""
        return _is_there(self.path, self.descriptor)


_open_locks: set[Lock] = set()  # of this process


@contextmanager
def locked(path: Path, what: Path, *, take_over: bool = False) -> Iterator[Lock]:
    """Hold a lock.

    Args:
        path: of the lock file; its folder exists.
        what: is locked, for messages.
        take_over: do not mind the lock file of a run on another machine.

    Raises:
        ArgumentError: another run holds it, or may hold it.
        DeconvNetError: the disk refused.
    """
    try:
        lock = _acquired(path, what, take_over)
    except OSError as fault:
        raise DeconvNetError(f"cannot write {str(path)!r}: {fault}.") from fault
    _open_locks.add(lock)
    try:
        yield lock
    finally:
        if lock in _open_locks:  # which it is not in a forked process: there the descriptor is closed already
            _open_locks.discard(lock)
            if lock.holds():
                with suppress(OSError):
                    _remove(path, lock.descriptor)
            else:
                os.close(lock.descriptor)


def _acquired(path: Path, what: Path, take_over: bool) -> Lock:
    """The lock, which is ours.

    A run removes a lock file only while it holds the system's lock of the file that has the name. So once we hold that
    lock and see that our file has the name, it keeps it: no other run can remove it, and none can put another in its
    place. Before that, the file that we have opened may have been replaced.
    """
    me = Holder(socket.gethostname(), os.getpid(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"))
    killed: Holder | str | None = None
    while True:
        descriptor, is_new = _opened(path)
        try:
            before = _checked(descriptor, what, me, is_new=is_new, take_over=take_over)
            is_there = _is_there(path, descriptor)
            if before is None and is_there:
                os.write(descriptor, msgspec.json.encode(me))
                os.fsync(descriptor)
                return Lock(path, descriptor, killed)
        except BaseException:
            os.close(descriptor)
            raise
        if not is_there:  # another run has removed or replaced it since it was opened
            os.close(descriptor)
            continue
        _remove(path, descriptor)  # a new file tells a run that is at work after all that its place was taken
        killed = before


def _opened(path: Path) -> tuple[int, bool]:
    """A descriptor of the lock file, and whether we have made the file."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    while True:
        with suppress(FileExistsError):
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), True
        try:
            return os.open(path, flags), False
        except FileNotFoundError:  # another run has removed it in between
            if path.is_symlink():
                raise


def _checked(descriptor: int, what: Path, me: Holder, *, is_new: bool, take_over: bool) -> Holder | str | None:
    """The run that was killed and left the file; None if none did.

    Raises:
        ArgumentError: a run holds the lock, or may hold it.
    """
    alone, content = _alone(descriptor), _read(descriptor)
    try:
        before: Holder | str | None = msgspec.json.decode(content, type=Holder) if content else None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        before = "its lock file is damaged"
    if alone is None and not content and not is_new:
        before = "its lock file is empty: it was just made, or its run was killed as it began"
    here = isinstance(before, Holder) and before.host == me.host
    runs = alone is None and here and isinstance(before, Holder) and psutil.pid_exists(before.process)
    if alone is False or (runs and not take_over):
        raise ArgumentError(
            f"another run is at work in {str(what)!r} ({before or 'its lock was just taken'}). Wait until it ends, or "
            "give another folder."
        )
    if before is not None and not here and not take_over:
        raise ArgumentError(
            f"another run was at work in {str(what)!r} ({before}), and whether it still is cannot be seen from here. "
            "If it is not, take its place (--take-over, take_over=True)."
        )
    return before


def _alone(descriptor: int) -> bool | None:
    """Lock the file; False if another process has, None if its file system knows no locks."""
    try:
        if os.name == "nt":
            import msvcrt

            windows: Any = msvcrt
            os.lseek(descriptor, _BYTE, os.SEEK_SET)
            windows.locking(descriptor, windows.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        return False if fault.errno in _REFUSED else None
    return True


def _read(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    content = os.read(descriptor, _LONGEST)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return content


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _remove(path: Path, descriptor: int) -> None:
    """Remove the file, then let go of it; Windows removes no file that is open, ours or another run's."""
    if os.name == "nt":
        os.close(descriptor)
    try:
        path.unlink(missing_ok=True)
    finally:
        if os.name != "nt":
            os.close(descriptor)


def _let_go() -> None:
    """In a forked process: its copy of a descriptor would hold the lock when its parent is gone."""
    for lock in _open_locks:
        with suppress(OSError):
            os.close(lock.descriptor)
    _open_locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
