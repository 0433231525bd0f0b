"""Progress in words, and what is said after Ctrl-C."""

import re
import shlex
import time

import pytest

from deconvnet.cli.progress import duration, progress, resumable


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("done", "seconds", "words"),
    [
        (720, 20.0, "photos: 720 of 5,000, 36.0 per second, 2 min left, 3 could not be used"),
        (20, 20.0, "photos: 20 of 5,000, 1.0 per second, 1 h 23 min left, 3 could not be used"),
        (2, 50.0, "photos: 2 of 5,000, 25.0 s each, 34 h 42 min left, 3 could not be used"),
        (5000, 20.0, "photos: 5,000 of 5,000, 250.0 per second, 3 could not be used"),
    ],
)
def test_a_line_says_the_rate_or_the_seconds_for_each_and_the_time_left(clock, capsys, done, seconds, words):
    with progress(lines=True) as report_progress:
        report_progress("photos", 0, 5000, "")
        clock[0] += seconds
        report_progress("photos", done, 5000, "3 could not be used")
    assert capsys.readouterr().err.splitlines() == ["deconvnet: photos: 0 of 5,000", f"deconvnet: {words}"]


def test_a_resumed_run_counts_from_where_it_goes_on(clock, capsys):
    with progress(lines=True) as report_progress:
        report_progress("photos", 4000, 5000, "")
        clock[0] += 100
        report_progress("photos", 4100, 5000, "")
    assert capsys.readouterr().err.splitlines()[-1].endswith("1.0 per second, 15 min left")


def test_a_duration_is_never_nothing():
    assert [duration(seconds) for seconds in (0.2, 59.4, 60, 3599)] == ["1 s", "60 s", "1 min", "1 h 0 min"]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["/bin/deconvnet", "atlas", "my photos", "-o", "a"], "deconvnet atlas 'my photos' -o a --resume"),
        (["deconvnet", "atlas", "x", "-o", "a", "--resume"], "deconvnet atlas x -o a --resume"),
        (["/lib/deconvnet/__main__.py", "learn", "$x", "-o", "a"], "python -m deconvnet learn '$x' -o a --resume"),
        (["deconvnet", "atlas", "-o", "a", "--", "-x"], "deconvnet atlas -o a --resume -- -x"),
    ],
)
def test_after_control_c_the_command_that_resumes_is_said(monkeypatch, argv, line):
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(KeyboardInterrupt) as interrupt, resumable():
        raise KeyboardInterrupt
    match = re.fullmatch(r"interrupted\. Continue with: (.*)", str(interrupt.value))
    assert match and match[1] == line
    assert set(argv[1:]) <= set(shlex.split(match[1]))
