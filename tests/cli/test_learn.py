"""The commands learn and learned, as a user runs them."""

import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from deconvnet.cli import main
from deconvnet.learn import Learned, train
from deconvnet.photos.photo import load_photo


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def deconvnet(monkeypatch, capsys, tmp_path) -> Run:
    """Runs a command beside a folder of photos, through the function that the console script calls."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["deconvnet", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Done(code, *capsys.readouterr())

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, name in enumerate(("chelsea", "astronaut", "coffee")):
        load_photo(f"sample:{name}").image().resize((40, 30)).save(folder / f"{i}.png")
    return run


SMALL = ("--maps", "3,4", "--filter", "3", "--pool", "2,2,2", "--size", "24", "--batch", "2", "--iterations", "5")


def names(folder: Path = Path()) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def told(done: Done, *words: str) -> None:
    """A known fault: one line that says these words, exit code 1, nothing else printed."""
    assert done.code == 1
    assert done.out == ""
    assert done.err.startswith("deconvnet: ") and done.err.count("\n") == 1, done.err
    for word in words:
        assert word in done.err


PHOTOS = [f"photos/{i}.png" for i in range(3)]


# learn


def test_learn_leaves_a_network_and_says_how_far_it_was_on_the_way(deconvnet):
    done = deconvnet("learn", "photos", "-o", "out", *SMALL)
    assert (done.code, done.out) == (0, "3 and 4 maps from 3 photos -> out\n")
    number = r"objective [\d.]+, error [\d.]+%, active [\d.]+%"
    lines = [line for line in done.err.splitlines() if "2 of 2" in line]  # the last of each layer
    assert [line.partition(", objective")[0] for line in lines] == [
        "deconvnet: batches of layer 1, epoch 1: 2 of 2", "deconvnet: batches of layer 2, epoch 1: 2 of 2",
    ]  # fmt: skip
    assert all(re.search(number, line) for line in lines)
    assert names() == ["out/learned.safetensors", *PHOTOS]
    assert [layer.maps for layer in Learned.open("out").net.layers] == [3, 4]


def test_options_are_what_they_say(deconvnet):
    done = deconvnet(
        "learn", "photos", "--output", "deep/out", "--maps", "5", "--filter", "3", "--pool", "none", "--lam", "0.4",
        "--epochs", "2", "--size", "20", "--colour", "--boundary", "circular", "--update", "conjugate", "--solver",
        "ista", "--steps", "7", "--batch", "3", "--limit", "2", "--seed", "4", "--workers", "2", "--quiet",
    )  # fmt: skip
    assert done == Done(0, "5 maps from 2 photos -> deep/out\n", "")
    found = Learned.open("deep/out")
    (layer,) = found.net.layers
    assert (layer.channels, layer.maps, layer.kernel, layer.pool, layer.lam) == (3, 5, 3, None, 0.4)
    assert found.net.boundary == "circular" and int(layer.updates) == 2
    assert (found.prepare.size, found.prepare.channels) == (20, 3)
    assert (found.about["batch"], found.about["seed"]) == (3, 4)
    assert found.about["options"] == {
        "update_by": "conjugate", "solver": "ista", "tol": 1e-2, "max_iter": 30, "steps": 7, "epochs": [2],
    }  # fmt: skip


def test_lists_of_options_are_for_each_layer(deconvnet):
    done = deconvnet(
        "learn", "photos", "-o", "out", *SMALL, "--filter", "5,3", "--lam", "0.4,0.2", "--epochs", "1,2", "-q"
    )
    assert done.code == 0
    layers = Learned.open("out").net.layers
    assert [(layer.kernel, layer.lam, int(layer.updates)) for layer in layers] == [(5, 0.4, 2), (3, 0.2, 4)]


def test_photos_that_cannot_be_read_are_told_and_the_others_are_learned_from(deconvnet):
    Path("photos/bad.png").write_bytes(b"none")
    Path("photos/b\nad.png").write_bytes(b"none")
    done = deconvnet("learn", "photos", "-o", "out", *SMALL, "-q")
    assert done.code == 0
    assert done.out == (
        "3 and 4 maps from 3 photos -> out\n  2 photos could not be used: see skipped.csv\n"
    )  # fmt: skip


def test_few_photos_for_many_filters_are_warned_of_in_a_line(deconvnet):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = deconvnet("learn", "photos", "-o", "out", *SMALL, "--maps", "200", "--limit", "1", "-q")
    assert done.code == 0
    assert done.err.startswith("deconvnet: the filters of a layer have 1800 weights") and done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--maps", "a"], ["--maps takes numbers separated by commas; got 'a'"]),
        (["--maps", ""], ["--maps takes numbers"]),
        (["--maps", "3,-1"], ["maps is a whole number, 1 or more; got -1"]),
        (["--maps", "0"], ["maps is a whole number, 1 or more; got 0"]),
        (["--maps", "2.5"], ["--maps takes numbers"]),
        (["--filter", "x"], ["--filter takes numbers"]),
        (["--filter", "3,3,3"], ["kernel is one number for all 2 layers or one for each"]),
        (["--filter", "25"], ["layer 1", "24x24 are smaller than filters of 25x25"]),
        (["--pool", "2,2"], ["pool is (height, width, neighbouring maps); got (2, 2)"]),
        (["--pool", "3"], ["pool is (height, width, neighbouring maps); got 3"]),
        (["--pool", "0,1,1"], ["a length in pool is a whole number"]),
        (["--pool", "all"], ["--pool takes numbers"]),
        (["--lam", "x"], ["--lam takes numbers"]),
        (["--lam", "0"], ["lam is a number above 0; got 0"]),
        (["--lam", "nan"], ["lam is a number above 0"]),
        (["--lam", "1,2,3"], ["lam is one number for all 2 layers"]),
        (["--epochs", "x"], ["--epochs takes numbers"]),
        (["--epochs", "0"], ["nothing is learned"]),
        (["--epochs", "1,1,1"], ["one for each of 2 layers"]),
        (["--solver", "dr"], ["solver 'dr' is for"]),
        (["--solver", "ista"], ["--iterations does not apply to --solver ista. Use --steps."]),
        (["--steps", "5"], ["--steps does not apply to --solver auto. Use --iterations, or --solver ista."]),
    ],
)
def test_what_cannot_be_learned_is_told_and_nothing_is_written(deconvnet, flags, words):
    told(deconvnet("learn", "photos", "-o", "out", *SMALL, *flags), *words)
    assert names() == PHOTOS


def test_steps_of_ista_change_what_is_learned(deconvnet):
    small = [flag for flag in SMALL if flag not in ("--iterations", "5")]
    for out, flags in (("a", ()), ("b", ("--steps", "10")), ("c", ("--steps", "3"))):
        assert deconvnet("learn", "photos", "-o", out, *small, "--solver", "ista", *flags, "-q").code == 0
    a, b, c = (Path(out, "learned.safetensors").read_bytes() for out in "abc")
    assert a == b and a != c


def test_workers_learn_the_same_and_list_the_same_photos(deconvnet):
    Path("photos/bad.png").write_bytes(b"none")
    for workers in (0, 1, 2):
        done = deconvnet("learn", "photos", "-o", f"out{workers}", *SMALL, "--workers", workers, "-q")
        assert done.code == 0 and "  1 photo could not be used: see skipped.csv\n" in done.out
    for name in ("learned.safetensors", "skipped.csv"):
        assert len({Path(f"out{workers}", name).read_bytes() for workers in (0, 1, 2)}) == 1


def test_photos_that_are_not_there_are_told(deconvnet):
    told(deconvnet("learn", "nowhere", "-o", "out", *SMALL), "no file or folder 'nowhere'")
    Path("empty").mkdir()
    told(deconvnet("learn", "empty", "-o", "out", *SMALL), "no photos in 'empty'")
    (Path("empty") / "a.png").write_bytes(b"none")
    told(deconvnet("learn", "empty", "-o", "out", *SMALL), "none of 1 photos can be read")
    assert names() == ["empty/a.png", *PHOTOS]


@pytest.mark.parametrize(
    "flags",
    [
        ["--size", "15"], ["--batch", "0"], ["--limit", "0"], ["--iterations", "0"], ["--steps", "0"],
        ["--workers", "-1"], ["--seed", "-1"], ["--seed", "99999999999999999999"], ["--boundary", "torus"],
        ["--solver", "magic"], ["--update", "magic"],
    ],
)  # fmt: skip
def test_a_command_line_that_is_wrong_in_itself_ends_with_2(deconvnet, flags):
    done = deconvnet("learn", "photos", "-o", "out", *SMALL, *flags)
    assert done.code == 2 and done.out == "" and "Traceback" not in done.err
    assert names() == PHOTOS
    assert deconvnet("learned", "out", "--nosuch").code == 2


@pytest.mark.parametrize("seconds", [-1, 60])
def test_after_control_c_resume_goes_on_to_the_same_file(deconvnet, monkeypatch, seconds):
    assert deconvnet("learn", "photos", "-o", "whole", *SMALL, "-q").code == 0
    monkeypatch.setattr(train, "_SAVE_SECONDS", seconds)
    real, calls = train.improve, [0]

    def interrupted(*arguments: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(train, "improve", interrupted)
        done = deconvnet("learn", "photos", "-o", "out", *SMALL, "-q")
    assert done.code == 130 and done.out == ""
    assert re.fullmatch(r"deconvnet: interrupted\. Continue with: .* --resume\n", done.err)
    told(
        deconvnet("learned", "out"), "'out' holds no learned network: learning is not finished: continue with --resume"
    )
    told(deconvnet("learn", "photos", "-o", "out", *SMALL), "holds an unfinished run. Continue it (--resume,")
    told(
        deconvnet("learn", "photos", "-o", "out", *SMALL, "--seed", "1", "--resume"), "started with seed=0, now seed=1"
    )  # fmt: skip
    done = deconvnet("learn", "photos", "-o", "out", *SMALL, "-q", "--resume")
    assert done == Done(0, "3 and 4 maps from 3 photos -> out\n", "")
    assert names(Path("out")) == ["learned.safetensors"]
    assert Path("out/learned.safetensors").read_bytes() == Path("whole/learned.safetensors").read_bytes()


def test_a_learned_network_is_not_overwritten(deconvnet):
    deconvnet("learn", "photos", "-o", "out", *SMALL, "-q")
    before = Path("out/learned.safetensors").read_bytes()
    told(deconvnet("learn", "photos", "-o", "out", *SMALL, "--seed", "5"), "already holds a learned network")
    told(
        deconvnet("learn", "photos", "-o", "out", *SMALL, "--seed", "5", "--resume"), "started with seed=0, now seed=5"
    )  # fmt: skip
    again = deconvnet("learn", "photos", "-o", "out", *SMALL, "--resume")
    assert again.code == 0 and again.out.endswith("maps from 3 photos -> out\n  it was already finished\n")
    assert Path("out/learned.safetensors").read_bytes() == before


@pytest.mark.parametrize("command", ["learn", "learned"])
def test_no_name_for_the_output_folder_is_told_and_nothing_is_written(deconvnet, command):
    deconvnet("learn", "photos", "-o", "out", *SMALL, "-q")
    before = names()
    arguments = {"learn": ["photos", *SMALL], "learned": ["out"]}[command]
    told(deconvnet(command, *arguments, "-o", ""), 'the name of the output folder is empty. Give a path, or "."')
    assert names() == before


def test_learning_into_the_folder_of_the_photos_is_refused(deconvnet):
    told(deconvnet("learn", "photos", "-o", "photos", *SMALL), "'photos' is not empty: it holds '0.png'")
    assert names() == PHOTOS


# learned


@pytest.mark.parametrize("flags", [[], ["--colour"]])
def test_learned_draws_filters_and_what_is_made_of_a_photo(deconvnet, flags):
    deconvnet("learn", "photos", "-o", "out", *SMALL, "-q", "--lam", "0.2", *flags)
    done = deconvnet("learned", "out")
    assert done == Done(0, "-> out/filters-1.png\n-> out/filters-2.png\n", "")
    Path("pictures").mkdir()
    done = deconvnet("learned", "out", "--photo", "photos/0.png", "-o", "pictures")
    drawn = ["0.parts.png", "0.reconstructions.png", "filters-1.png", "filters-2.png"]
    assert done.code == 0 and sorted(done.out.splitlines()) == [f"-> pictures/{name}" for name in drawn]
    assert names(Path("pictures")) == drawn
    for name in drawn:
        with Image.open(Path("pictures") / name) as picture:
            assert picture.width > 100 and picture.height > 60


def test_learned_overwrites_nothing_without_force(deconvnet):
    deconvnet("learn", "photos", "-o", "out", *SMALL, "-q")
    deconvnet("learned", "out")
    before = Path("out/filters-2.png").read_bytes()
    Path("out/filters-1.png").unlink()
    Path("out/filters-2.png").write_bytes(b"mine")
    told(deconvnet("learned", "out"), "filters-2.png' already exists. Replace it (--force, force=True)")
    assert names(Path("out")) == ["filters-2.png", "learned.safetensors"]
    assert deconvnet("learned", "out", "--force").code == 0
    assert Path("out/filters-2.png").read_bytes() == before


def test_what_cannot_be_drawn_is_told_and_nothing_is_written(deconvnet):
    deconvnet("learn", "photos", "-o", "out", *SMALL, "-q")
    Image.new("L", (40, 40)).save("black.png")
    before = names()
    for arguments, words in (
        (["photos"], "'photos' holds no learned network: it has no learned.safetensors"),
        (["nowhere"], "'nowhere' holds no learned network"),
        (["out", "-o", "black.png"], "cannot make the folder 'black.png': 'black.png' is a file"),
        (["out", "--photo", "no.png"], "cannot read 'no.png': no such file"),
        (["out", "--photo", "sample:dog"], "'dog' is not a sample photo"),
        (["out", "--photo", "black.png"], "nothing is active in layer 2"),
    ):
        told(deconvnet("learned", *arguments), words)
        assert names() == before


def test_the_device_is_where_the_network_learns_and_one_that_is_not_there_is_told(deconvnet, tmp_path, monkeypatch):
    told(deconvnet("learn", "photos", "-o", "out", *SMALL, "--device", "cuda:77"), "device='cuda:77' cannot be used")
    told(deconvnet("learn", "photos", "-o", "out", *SMALL, "--device", "toaster"), "device='toaster' cannot be used")
    assert not (tmp_path / "out").exists()
    seen = []
    monkeypatch.setattr("deconvnet.models.load.usable_device", lambda name: seen.append(name) or "cpu")
    assert deconvnet("learn", "photos", "-o", "out", *SMALL, "--device", "cuda", "-q").code == 0
    assert seen == ["cuda"]
