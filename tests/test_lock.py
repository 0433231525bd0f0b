"""One run at a time, by name; what a killed run left is taken over."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deconvnet import ArgumentError, DeconvNetError, DeconvNetWarning, _lock
from deconvnet._lock import Lock, locked

HOLD = """
import sys, time
from pathlib import Path
from deconvnet._lock import Lock, locked
with locked(Path(sys.argv[1]), Path("out")):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "lock"


def elsewhere(path: Path, host: str = "elsewhere") -> None:
    path.write_text(json.dumps({"host": host, "process": 4711, "since": "2026-01-02 03:04:05 UTC"}))


def take(path: Path, **options: bool) -> None:
    with locked(path, Path("out"), **options):
        pass


def warned_of(lock: Lock, words: str = "is gone .* takes its place") -> None:
    """Check that a killed run is told of, and told of once."""
    with pytest.warns(DeconvNetWarning, match=words):
        lock.warn_of_killed(Path("out"))
    lock.warn_of_killed(Path("out"))


def another_run(path: Path) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    process.stdout.close()
    return process


def test_a_lock_says_who_holds_it_and_goes_with_it(path):
    with locked(path, Path("out")) as lock:
        holder = json.loads(path.read_text())
        assert holder["host"] == socket.gethostname() and holder["process"] == os.getpid() and lock.holds()
    assert not path.exists()
    with pytest.raises(ZeroDivisionError), locked(path, Path("out")):
        raise ZeroDivisionError
    assert not path.exists()


def test_a_second_run_is_refused_by_name_of_the_first_even_on_request_and_a_killed_one_is_replaced(path):
    first = another_run(path)
    try:
        before = path.read_bytes()
        who = rf"process {first.pid} on '{socket.gethostname()}', since 2\d\d\d-.* UTC"
        words = rf"another run is at work in 'out' \({who}\)"
        for take_over in (False, True):
            with pytest.raises(ArgumentError, match=words):
                take(path, take_over=take_over)
        assert path.read_bytes() == before
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    with locked(path, Path("out")) as lock:
        assert json.loads(path.read_text())["process"] == os.getpid()
        warned_of(lock, rf"'out' \(process {first.pid} .*\) is gone without having ended properly")
    assert not path.exists()


def test_a_run_in_another_thread_is_another_run(path):
    faults: list[Exception] = []

    def run() -> None:
        try:
            with locked(path, Path("out")):
                pass
        except ArgumentError as fault:
            faults.append(fault)

    with locked(path, Path("out")):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert path.exists()
    assert len(faults) == 1


@pytest.mark.parametrize("content", ["another host", b"{", b"[" * 9999, b'{"host": 3}', b"\xff"])
def test_a_run_on_another_machine_is_replaced_on_request_alone(path, content):
    elsewhere(path) if content == "another host" else path.write_bytes(content)
    before = path.read_bytes()
    words = "another run was at work in 'out' .*cannot be seen from here. .*--take-over, take_over=True"
    with pytest.raises(ArgumentError, match=words):
        take(path)
    assert path.read_bytes() == before
    with locked(path, Path("out"), take_over=True) as lock:
        assert lock.holds()
        warned_of(lock)


def test_an_empty_lock_file_is_of_a_run_that_was_killed_as_it_began(path):
    path.touch()
    with locked(path, Path("out")):
        assert path.read_bytes()


def test_a_run_whose_place_was_taken_finds_out(path):
    with locked(path, Path("out")) as lock:
        path.unlink()
        assert not lock.holds()
        with locked(path, Path("out")) as other:
            assert other.holds() and not lock.holds()
    elsewhere(path)
    with locked(path.with_name("a"), Path("out")) as lock:
        path.with_name("a").unlink()
        path.rename(path.with_name("a"))
        assert not lock.holds()
    assert path.with_name("a").exists()  # another's is not removed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_that_outlives_the_run_does_not_hold_its_lock(path):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,), daemon=True)
    with locked(path, Path("out")):
        child.start()
    try:
        with locked(path, Path("out")):
            pass
        elsewhere(path, socket.gethostname())
        with locked(path, Path("out")) as lock:
            warned_of(lock)
    finally:
        child.kill()
        child.join()


def test_where_the_disk_knows_no_locks_the_process_is_looked_for(path, monkeypatch):
    monkeypatch.setattr(_lock, "_alone", lambda descriptor: None)
    words = rf"another run is at work in 'out' \(process {os.getpid()} "
    with locked(path, Path("out")), pytest.raises(ArgumentError, match=words):
        take(path)
    elsewhere(path, socket.gethostname())
    monkeypatch.setattr("psutil.pid_exists", lambda process: False)
    with locked(path, Path("out")) as lock:
        warned_of(lock)


def test_a_run_that_has_opened_what_a_killed_one_left_does_not_remove_the_lock_of_one_that_was_faster(
    path, monkeypatch
):
    elsewhere(path, socket.gethostname())
    opened, faster = os.open, locked(path, Path("out"))
    locks = []

    def open_late(*args, **options):
        descriptor = opened(*args, **options)
        monkeypatch.setattr(os, "open", opened)
        locks.append(faster.__enter__())
        warned_of(locks[-1])
        return descriptor

    # what is there already is opened first for a new file, which fails, then as it is
    monkeypatch.setattr(
        os, "open", lambda file, flags, *mode: (opened if flags & os.O_EXCL else open_late)(file, flags)
    )
    try:
        with pytest.raises(ArgumentError, match=rf"another run is at work in 'out' \(process {os.getpid()} "):
            take(path)
        assert locks[0].holds()
    finally:
        faster.__exit__(None, None, None)
    assert not path.exists()


def test_where_the_disk_knows_no_locks_an_empty_file_is_of_another_run_unless_we_made_it(path, monkeypatch):
    monkeypatch.setattr(_lock, "_alone", lambda descriptor: None)
    path.touch()
    with pytest.raises(ArgumentError, match=r"empty: it was just made.*--take-over"):
        take(path)
    with locked(path, Path("out"), take_over=True) as lock:
        assert lock.holds()
        warned_of(lock)
    with locked(path, Path("out")) as lock:
        assert lock.holds()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_that_leaves_the_run_closes_and_removes_nothing(path, tmp_path):
    try:
        with locked(path, Path("out")) as lock:
            child = os.fork()
            if not child:
                mine = os.open(tmp_path / "mine", os.O_CREAT | os.O_RDWR)  # which gets the lock's descriptor
                raise SystemExit
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 7 and lock.holds()
    except SystemExit:
        os._exit(7 if os.fstat(mine) else 0)
    except OSError:
        os._exit(1)


def test_a_lock_file_that_cannot_be_removed_is_told_once(path, monkeypatch):
    elsewhere(path, socket.gethostname())
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "not permitted")))
    with pytest.raises(DeconvNetError, match=r"cannot write .*lock'.*not permitted"):
        take(path)


def test_a_disk_that_refuses_is_told(path):
    path.mkdir()
    with pytest.raises(DeconvNetError, match=r"cannot write .*lock'"):
        take(path)
    with pytest.raises(DeconvNetError, match=r"cannot write .*lock'"):
        take(path.with_name("no") / "lock")


def test_a_link_in_place_of_the_lock_file_is_not_followed(path, tmp_path):
    (tmp_path / "mine").write_text("mine")
    path.symlink_to(tmp_path / "mine")
    with pytest.raises(DeconvNetError, match=r"cannot write .*lock'"):
        take(path)
    assert (tmp_path / "mine").read_text() == "mine"
