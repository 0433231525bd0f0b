"""The report: what its page holds, and how it behaves in a real browser."""

import base64
import contextlib
import io
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.main import get_command

from deconvnet import (
    ArgumentError,
    DeconvNet,
    LayerNotFoundError,
    LoadedModel,
    NotFiniteError,
    PhotoError,
    Preprocess,
    Report,
    RuleSet,
    UnsupportedOperationError,
    load_model,
    report,
    way_down,
)
from deconvnet.cli.commands import app
from deconvnet.viewer.select import positions_of, units_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
AXE = pytest.importorskip("axe_playwright_python.sync_playwright")


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model("zfnet-mini")


@pytest.fixture(scope="module")
def net(loaded) -> DeconvNet:
    return DeconvNet(loaded.model, loaded.example_input)


@pytest.fixture(scope="module")
def place(net, loaded, tmp_path_factory) -> Path:
    """A page about two photos, small enough to be made quickly."""
    path = tmp_path_factory.mktemp("report") / "page.html"
    report(net, ["sample:chelsea", "sample:coffee"], path, loaded=loaded, maps=6)
    return path


@pytest.fixture(scope="module")
def data(place) -> dict:
    return data_of(place.read_text(encoding="utf-8"))


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def image(webp: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(webp))) as opened:
        return np.asarray(opened.convert("RGB")).astype(float)


def layers_of(photo: dict) -> dict:
    return {layer["name"]: layer for layer in photo["layers"]}


# What the page holds.


def test_the_page_holds_the_likeliest_classes_and_the_rectified_layers_in_order(data, net, loaded):
    assert [photo["name"] for photo in data["photos"]] == ["sample:chelsea", "sample:coffee"]
    for photo in data["photos"]:
        chances = net.probabilities(loaded.preprocess.images(photo["name"]))[0]
        best = chances.sort(descending=True)
        assert [one["index"] for one in photo["classes"]] == best.indices[:5].tolist()
        assert [one["probability"] for one in photo["classes"]] == pytest.approx(best.values[:5].tolist())
        assert [one["label"] for one in photo["classes"]] == [loaded.label(int(c)) for c in best.indices[:5]]
        assert [layer["name"] for layer in photo["layers"]] == [f"relu{i}" for i in range(1, 7)]


def test_a_unit_has_the_activation_box_and_picture_that_project_gives(data, net, loaded):
    x = loaded.preprocess.images("sample:chelsea")
    for name, layer in layers_of(data["photos"][0]).items():
        shown = layer["maps"][0]
        for cell in shown["cells"][:2]:
            result = net.project(x, name, channel=shown["channel"], position=tuple(cell["position"]))
            assert cell["activation"] == pytest.approx(float(result.activations), rel=1e-5)
            box = result.box(0)
            assert cell["box"] == [*box.low, *box.high]
            difference = np.abs(image(cell["picture"]) - np.asarray(result.picture(0)).astype(float))
            assert difference.mean() < 12  # WebP is lossy


def test_steps_are_a_square_for_each_layer_of_the_way_down_and_start_at_the_unit(data, net, loaded):
    photo = data["photos"][0]
    layer = layers_of(photo)["relu5"]
    assert [photo["passed"][i]["name"] for i in layer["down"]] == ["relu5", "relu4", "relu3", "relu2", "relu1"]
    cell = layer["maps"][0]["cells"][0]
    strip = image(cell["steps"])[..., 0]
    side = strip.shape[0]
    assert strip.shape == (side, 5 * side)
    y, x = ((np.array(cell["position"]) + 0.5) / 8 * side).astype(int)
    assert strip[y, x] > 240 and np.abs(strip[:, :side] - 128).mean() < 10  # one place of 8 x 8
    steps = net.steps(loaded.preprocess.images("sample:chelsea"))
    errors = {step.layer: step.error for step in steps}
    words = [photo["words"][i] for i in layer["how"]]
    assert words[0] == ["relu5: rectify", "conv5: transposed filter"]
    assert words[2] == ["relu3: rectify", "conv3: transposed filter", "pool2: unpool by switches (sum)",
                        f"unpooling pool2 errs by {errors['relu2']:.2f}"]  # fmt: skip
    assert words[-1] == ["relu1: rectify", "conv1: transposed filter"]
    assert photo["words"][photo["classes"][0]["how"][0]] == ["fc7: transposed filter"]


def test_steps_in_windows_and_on_whole_maps_look_the_same(net, loaded):
    from deconvnet.viewer.images import Tiles

    x = loaded.preprocess.images("sample:chelsea")
    maps = {name: of[0] for name, of in net.activations(x, ["relu1", "relu2", "relu3"]).items()}
    strips = []
    for path in ("windowed", "dense"):
        tiles = Tiles(maps)
        net.project(x, "relu3", channel=[8, 145], route=path, watch=tiles.watch)
        strips.append([np.asarray(tiles.strip(i, ["relu3", "relu2", "relu1"])).astype(int) for i in range(2)])
    assert np.abs(np.array(strips[0]) - np.array(strips[1])).max() <= 1


def test_the_map_is_black_at_zero_and_white_at_its_strongest(data, net, loaded):
    shown = layers_of(data["photos"][0])["relu3"]["maps"][0]
    maps = net.activations(loaded.preprocess.images("sample:chelsea"), "relu3")["relu3"][0, shown["channel"]]
    expected = (maps / maps.max() * 255).round().numpy()
    assert np.abs(image(shown["image"])[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("most", [1, 7, 48])
def test_units_are_ordered_strong_maps_first_and_of_strong_maps_more_units(most):
    maps = torch.rand(20, 5, 6, generator=torch.Generator().manual_seed(1)) - 0.3
    maps[3] = -1.0
    strongest = sorted(range(20), key=lambda c: (-float(maps[c].max()), c))[:most]
    expected = []
    for m, c in enumerate(strongest, start=1):
        for k, unit in enumerate(positions_of(maps[c].numpy()), start=1):
            if m * k**1.5 <= most:
                expected.append((m * k**1.5, m, c, unit))
    assert units_of(maps, most) == [(c, unit) for _, _, c, unit in sorted(expected)]
    assert all(channel != 3 for channel, _ in units_of(maps, most))


def test_peaks_come_before_what_lies_beside_them():
    values = np.array([[0.0, 5, 6, 5, 0], [0, 0, 0, 0, 0], [3, 2, 0, 0, -1]])
    assert positions_of(values) == [(0, 2), (2, 0), (0, 1), (0, 3), (2, 1)]
    assert positions_of(values, 3) == [(0, 2), (2, 0), (0, 1)]


def test_the_same_photos_give_the_same_page(net, loaded):
    pages = [report(net, "sample:rocket", loaded=loaded, maps=2).html for _ in range(2)]
    assert pages[0] == pages[1]


def test_the_page_size_bounds_the_page_and_a_larger_one_shows_more(net, loaded):
    units = []
    for page_size in (250_000, "400kB", "1MB"):
        page = report(net, "sample:chelsea", loaded=loaded, page_size=page_size).html
        assert len(page.encode()) <= {"400kB": 400_000, "1MB": 1_000_000}.get(page_size, page_size)
        layers = data_of(page)["photos"][0]["layers"]
        assert all(layer["maps"] for layer in layers)
        units.append(sum(len(shown["cells"]) for layer in layers for shown in layer["maps"]))
    assert units[0] < units[1] < units[2]


def test_progress_is_told(net, loaded):
    told: list[float] = []
    report(net, ["sample:chelsea", "sample:coffee"], loaded=loaded, layers=["relu1", "relu5"], maps=1,
           progress=told.append)  # fmt: skip
    assert told == [0.25, 0.5, 0.75, 1.0]


# Other networks.

NAMES = ("tabby cat", "collie", "owl", "goldfish", "lamp")


def small(
    model: nn.Module, *, channels: int = 3, size: tuple[int, int] = (32, 32), names: tuple[str, ...] | None = NAMES
) -> tuple[DeconvNet, LoadedModel]:
    photos = Preprocess(size, max(size), (0.5,) * channels, (0.25,) * channels, channels=channels)
    loaded = LoadedModel(model.eval(), photos, names)
    return DeconvNet(loaded.model, loaded.example_input), loaded


def blocks(channels: int = 3) -> list[nn.Module]:
    torch.manual_seed(5)
    return [
        nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
    ]  # fmt: skip


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(9)
        self.down, self.deep = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.up, self.head = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 5, 1)

    def forward(self, x):
        high = torch.relu(self.down(x))
        deep = torch.relu(self.deep(nn.functional.max_pool2d(high, 2)))
        joined = torch.cat([high, nn.functional.interpolate(deep, scale_factor=2)], 1)
        return self.head(torch.relu(self.up(joined)))


def test_a_segmenter_shows_each_class_at_the_place_where_it_is_likeliest():
    net, loaded = small(UNet())
    photo = data_of(report(net, "sample:astronaut", loaded=loaded).html)["photos"][0]
    chances = net.probabilities(loaded.preprocess.images("sample:astronaut"))[0]
    wins = torch.bincount(chances.argmax(0).flatten(), minlength=5) / chances[0].numel()
    for one in photo["classes"]:
        y, x = one["position"]
        assert one["probability"] == pytest.approx(float(chances[one["index"]].max()))
        assert one["probability"] == pytest.approx(float(chances[one["index"], y, x]))
        assert one["share"] == pytest.approx(float(wins[one["index"]]))
        box = net.explain(loaded.preprocess.images("sample:astronaut"), (one["index"], y, x)).box(0)
        assert one["box"] == [*box.low, *box.high]
    assert [one["share"] for one in photo["classes"]] == sorted(wins.tolist(), reverse=True)


def test_a_network_of_several_labels_shows_each_ones_own_probability():
    dense = nn.Sequential(*blocks(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5), nn.Sigmoid())
    net, loaded = small(dense)
    classes = data_of(report(net, "sample:coffee", loaded=loaded).html)["photos"][0]["classes"]
    given = dense(loaded.preprocess.images("sample:coffee"))[0].sort(descending=True)
    assert [one["probability"] for one in classes] == pytest.approx(given.values.tolist())


def test_grey_networks_deep_pixels_and_wide_inputs_have_pages_too():
    model = nn.Sequential(*blocks(1), nn.Flatten(), nn.Linear(8 * 10 * 24, 1))
    net, loaded = small(model, channels=1, size=(20, 48), names=None)
    grey = (np.linspace(0, 1, 60 * 200).reshape(60, 200) * 65535).astype(np.uint16)
    photo = data_of(report(net, grey, loaded=loaded).html)["photos"][0]
    assert photo["name"] == "photo" and photo["input_size"] == [20, 48] and len(photo["classes"]) == 1
    height, width, _ = image(photo["image"]).shape
    assert width / height == pytest.approx(48 / 20, rel=0.05)


def test_a_concatenation_of_rectifiers_stands_for_them_and_long_networks_show_sixteen_layers():
    branches = load_model("torchvision:squeezenet1_1@random", size=64)
    net = DeconvNet(branches.model, branches.example_input)
    page = data_of(report(net, "sample:coffee", loaded=branches, maps=1).html)
    names = [layer["name"] for layer in page["photos"][0]["layers"]]
    assert len(names) == 16 and "features.12" in names and not any("expand" in name for name in names)
    assert names[0] == "features.1" and names[-1] == "classifier.2"


def test_layers_can_be_chosen_also_beside_the_way(net, loaded):
    page = report(net, "sample:chelsea", loaded=loaded, layers=["conv3", "pool1"], maps=2)
    assert [layer["name"] for layer in data_of(page.html)["photos"][0]["layers"]] == ["pool1", "conv3"]


# How to make it again.


def test_the_lines_of_python_run_and_the_commands_are_understood(data, net, loaded):
    namespace: dict[str, object] = {}
    exec(data["setup"], namespace)
    again = namespace["net"].project(loaded.preprocess.images("sample:chelsea"), "relu2", channel=3)
    assert torch.equal(again.full(), net.project(loaded.preprocess.images("sample:chelsea"), "relu2", channel=3).full())
    assert data["flags"] == ""


@pytest.mark.parametrize(
    ("spec", "layer", "rules", "options", "flags"),
    [
        ("zfnet-mini", "relu1", "guided", {}, "--rules guided"),
        ("zfnet-mini", "relu1", RuleSet(smooth="rectify"), {}, "--smooth rectify"),
        ("zfnet-mini", "relu1", RuleSet(unpool="average"), {}, None),
        ("zfnet-mini", "relu1", "deconvnet", {"labels": [f"class number {i}" for i in range(11)]}, None),
        ("zfnet-mini", "relu1", "deconvnet", {"channels": 3}, "--input-channels 3"),
        ("zfnet-mini", "relu1", "deconvnet", {"value_range": (0, 255)}, "--range 0.0,255.0"),
        (
            "torchvision:squeezenet1_1@random",
            "features.1",
            "deconvnet",
            {"size": (96, 128), "mean": (0.5, 0.5, 0.5), "device": "cpu"},
            "--model torchvision:squeezenet1_1@random --size 96,128 --mean 0.5,0.5,0.5 --device cpu",
        ),
    ],
)
def test_flags_and_lines_name_the_network_and_the_rules(spec, layer, rules, options, flags):
    loaded = load_model(spec, **options)
    net = DeconvNet(loaded.model, loaded.example_input, rules=rules)
    page = data_of(report(net, "sample:rocket", loaded=loaded, layers=[layer], maps=1).html)
    assert page["flags"] == flags
    namespace: dict[str, object] = {}
    exec(page["setup"], namespace)
    assert namespace["net"].rules == net.rules
    assert namespace["loaded"].preprocess == loaded.preprocess and namespace["loaded"].labels == loaded.labels


def test_folders_of_the_user_do_not_stand_in_the_page(tmp_path):
    from deconvnet import zfnet_mini

    folder = tmp_path / "private folder"
    folder.mkdir()
    Image.new("RGB", (50, 40), "red").save(folder / "red.png")
    torch.save(zfnet_mini().state_dict(), folder / "mine.pt")
    loaded = load_model("zfnet-mini", weights=folder / "mine.pt")
    page = report(
        DeconvNet(loaded.model, loaded.example_input), folder / "red.png", loaded=loaded, layers=["relu1"], maps=1
    )
    assert "private folder" not in page.html
    assert data_of(page.html)["flags"] == "--weights mine.pt" and "zfnet-mini with mine.pt" in page.html


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (
            {"page_size": "60kB"},
            ArgumentError,
            "the page size does not hold the classes and one unit of each layer: ",
        ),
        ({"page_size": "-1"}, ArgumentError, "page_size is a number of bytes or a size such as '2GB'; got '-1'"),
        ({"maps": 0}, ArgumentError, "maps is a whole number, 1 or more; got 0"),
        ({"layers": ["relu77"]}, LayerNotFoundError, "no layer 'relu77'"),
        ({"layers": []}, ArgumentError, "layers is one name or several, or None for the rectified layers; got []"),
        ({"layers": [nn.ReLU()]}, ArgumentError, "layers is one name or several"),
        ({"photos": None}, ArgumentError, "photos is one photo or several, as load_photo takes them; got None"),
        ({"photos": 5}, ArgumentError, "photos is one photo or several, as load_photo takes them; got 5"),
        ({"photos": []}, ArgumentError, "no photos in the list"),
        ({"photos": ["nowhere.jpg"]}, PhotoError, "no such file"),
        ({"path": "page.txt"}, ArgumentError, "does not end in one of .html, .htm"),
        ({"path": "no/where.html"}, ArgumentError, "the folder 'no' does not exist"),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_nothing_is_written(
    net, loaded, tmp_path, monkeypatch, arguments, error, words
):
    monkeypatch.chdir(tmp_path)
    call = {"photos": "sample:chelsea", "path": "page.html", "loaded": loaded, **arguments}
    with pytest.raises(error, match=re.escape(words)):
        report(net, **call)
    assert list(tmp_path.iterdir()) == []


def test_a_named_layer_that_does_not_respond_is_told_and_another_is_left_out_with_a_note():
    model = nn.Sequential(*blocks(), nn.Flatten(), nn.Linear(8 * 16 * 16, 5))
    nn.init.constant_(model[3].bias, -1000.0)
    net, loaded = small(model)
    with pytest.raises(ArgumentError, match="no activation of layer '4' is above zero in 'sample:coffee'"):
        report(net, "sample:coffee", loaded=loaded, layers=["4"])
    made = report(net, "sample:coffee", loaded=loaded)
    photo = data_of(made.html)["photos"][0]
    assert [layer["name"] for layer in photo["layers"]] == ["1"]
    assert photo["notes"] == ["Layer 4 is not shown: none of its activations is above zero."]
    assert photo["notes"][0] in made.notes


def test_a_photo_that_cannot_be_used_is_left_out_and_told(net, loaded, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    told: list[float] = []
    made = report(net, ["nowhere.jpg", "sample:chelsea", broken], loaded=loaded, layers="relu1", maps=1,
                  progress=told.append)  # fmt: skip
    assert [name for name, _ in made.left_out] == ["nowhere.jpg", str(broken)]
    assert "no such file" in made.left_out[0][1] and told[-1] == 1
    assert [photo["name"] for photo in data_of(made.html)["photos"]] == ["sample:chelsea"]


def test_a_layer_may_be_given_by_any_of_its_names(net, loaded):
    for name, first in (("drop6", "relu6"), ("relu3", "relu3")):
        photo = data_of(report(net, "sample:chelsea", loaded=loaded, layers=name, maps=1).html)["photos"][0]
        assert [layer["name"] for layer in photo["layers"]] == [first]
    branches = load_model("torchvision:squeezenet1_1@random", size=64)
    branched = DeconvNet(branches.model, branches.example_input)
    photo = data_of(report(branched, "sample:coffee", loaded=branches, layers=["features"], maps=1).html)["photos"][0]
    assert len(photo["layers"]) == 1 and photo["classes"][0]["down"] == [0]


def test_layers_that_cannot_be_shown_are_refused():
    model = nn.Sequential(*blocks(), nn.Flatten(), nn.Linear(8 * 16 * 16, 5), nn.Sigmoid())
    _, loaded = small(model)
    net = DeconvNet(loaded.model, loaded.example_input, smooth="rectify")
    with pytest.raises(ArgumentError, match="layer '7' lies above the classes, '6': choose a layer below"):
        report(net, "sample:coffee", loaded=loaded, layers=["7"])
    net, loaded = small(nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(5400, 5)))
    with pytest.raises(ArgumentError, match="no layer on the way to the class is rectified: name the layers"):
        report(net, "sample:coffee", loaded=loaded)
    assert report(net, "sample:coffee", loaded=loaded, layers="0", maps=1)


class Deep(nn.Module):
    """A rectifier on maps of three axes, and one on tokens before images."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.relu, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Linear(8, 5)
        self.cube = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.first(x))
        n, c, h, w = x.shape
        x = self.cube(x.view(n, 2, 4, h, w) - 0.1).reshape(n, c, h, w)
        return self.last(torch.relu(x.flatten(2).permute(2, 0, 1)).permute(1, 2, 0).mean(2))


def test_maps_of_three_axes_and_tokens_are_left_out_and_refused_by_name():
    net, loaded = small(Deep())
    photo = data_of(report(net, "sample:coffee", loaded=loaded, maps=1).html)["photos"][0]
    assert [layer["name"] for layer in photo["layers"]] == ["relu"]
    with pytest.raises(ArgumentError, match="layer 'cube' has maps of 3 axes"):
        report(net, "sample:coffee", loaded=loaded, layers=["cube"])


@pytest.mark.parametrize("smooth", ["rectify", "gradient"])
def test_smooth_activations_that_the_rules_admit_are_shown(smooth):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.SiLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 225, 5))
    _, loaded = small(model)
    net = DeconvNet(loaded.model, loaded.example_input, smooth=smooth)
    photo = data_of(report(net, "sample:coffee", loaded=loaded, maps=1).html)["photos"][0]
    assert [layer["name"] for layer in photo["layers"]] == ["1"]
    assert any("smooth=" in note for note in photo["layers"][0]["notes"])


def test_a_unit_that_does_not_depend_on_the_photo_is_said_not_to(data):
    layers = layers_of(data["photos"][0])
    assert any("does not depend on the image" in note for note in layers["relu1"]["notes"])
    assert not layers["relu5"]["notes"]


def test_words_under_steps_are_those_of_the_units_own_branch():
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("googlenet", Path(__file__).parents[2] / "examples" / "googlenet.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    net, loaded = small(module.googlenet(), size=(64, 64), names=None)
    infos = net.layers
    relus = [name for name, info in infos.items() if info.kind == "relu" and name.startswith(("i3a", "i3b"))]
    assert len(relus) == 12
    photo = data_of(report(net, "sample:coffee", loaded=loaded, layers=["i3a", *relus[6:]], maps=1).html)["photos"][0]
    for layer in photo["layers"][1:]:
        lines = [line for i in layer["how"] for line in photo["words"][i]]
        own = way_down(net, layer["name"], loaded.preprocess.images("sample:coffee"))
        undone = [above for name in own.values() for above in name]
        told = {name for line in lines if ":" in line for name in line.partition(":")[0].split(", ")}
        assert told <= set(undone)
        convs = [name for name in undone if infos.get(name) and infos[name].kind == "conv2d" and name.startswith("i3b")]
        assert all(any(name in line for line in lines) for name in convs)
        assert len(convs) in (1, 2) and sum("unpool by switches" in line for line in lines) <= 5


def test_large_activations_in_half_precision_have_pages():
    torch.manual_seed(0)
    model = nn.Sequential(*blocks(), nn.Flatten(), nn.Linear(8 * 16 * 16, 5))
    with torch.no_grad():
        model[0].weight *= 300
        model[0].bias *= 300
        model[3].weight *= 10
        model[6].weight /= 1000
    model = model.half()
    net, loaded = small(model)
    x = loaded.preprocess.images("sample:coffee").half()
    with pytest.raises(NotFiniteError):
        net.project(x, "4", channel="top:1")
    assert data_of(report(net, "sample:coffee", loaded=loaded, maps=2).html)["photos"][0]["layers"]


def test_another_network_than_the_one_that_was_loaded_is_refused(net, loaded):
    other = LoadedModel(nn.Sequential(*blocks()), loaded.preprocess)
    with pytest.raises(ArgumentError, match="loaded holds another network than net"):
        report(net, "sample:coffee", loaded=other)
    parallel = LoadedModel(nn.DataParallel(loaded.model), loaded.preprocess, loaded.labels)
    assert report(net, "sample:coffee", loaded=parallel, layers="relu1", maps=1)


def test_a_page_never_passes_its_size_and_what_it_says_is_enough_is(loaded):
    labels = tuple(f"a long name, number {i}, {'x' * 3000}" for i in range(11))
    wordy = LoadedModel(loaded.model, loaded.preprocess, labels)
    net = DeconvNet(loaded.model, loaded.example_input)
    photos = ["sample:chelsea", "sample:rocket"]
    with pytest.raises(ArgumentError, match=r"about \d+ kB more would be enough") as fault:
        report(net, photos, loaded=wordy, page_size=150_000)
    more = int(re.search("about ([0-9]+) kB", str(fault.value))[1])
    for page_size in (150_000 + 1000 * more, 1_000_000):
        assert len(report(net, photos, loaded=wordy, page_size=page_size).html.encode()) <= page_size


def test_a_network_with_no_way_down_is_refused():
    net, loaded = small(nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(3600, 5)))
    with pytest.raises(UnsupportedOperationError, match="silu"):
        report(net, "sample:coffee", loaded=loaded)


def test_a_file_that_is_there_stays_unless_forced(net, loaded, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(ArgumentError, match="already exists"):
        report(net, "sample:rocket", path, loaded=loaded)
    assert path.read_text() == "mine"
    assert report(net, "sample:rocket", path, loaded=loaded, layers=["relu1"], maps=1, force=True).path == path
    assert path.read_text().startswith("<!doctype html>")


# In a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: make browser installs Debian's")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@contextlib.contextmanager
def opened(browser, place: Path, address: str = "", **options) -> Iterator[object]:
    """The page as a visitor opens it; no fault, and nothing asked of any server."""
    context = browser.new_context(**options)
    page = context.new_page()
    faults: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(place.as_uri() + address)
    page.wait_for_selector("#classes button")
    yield page
    assert not faults
    assert {url.split(":", 1)[0] for url in asked} <= {"file", "data"}
    assert len([url for url in asked if url.startswith("file:")]) == page.evaluate(
        "performance.getEntriesByType('navigation').length"
    )
    context.close()


def drawn(page) -> str:
    return page.locator("#projection").get_attribute("src").partition(",")[2]


def test_a_visitor_clicks_from_class_to_layer_to_map_to_cell(browser, place, data):
    photo = data["photos"][0]
    with opened(browser, place) as page:
        assert page.title() == "What zfnet-mini sees in sample:chelsea and 1 more"
        assert page.locator("#title").inner_text() == "domestic cat"
        assert drawn(page) == photo["classes"][0]["picture"]
        page.locator("#classes button").nth(2).click()
        assert drawn(page) == photo["classes"][2]["picture"]
        assert page.locator("#list").is_hidden() and page.locator("#patch-figure").is_hidden()

        page.get_by_role("button", name=re.compile("relu5")).click()
        shown = layers_of(photo)["relu5"]["maps"]
        assert page.locator("#maps button").count() == len(shown) == 6
        page.locator("#maps button").nth(1).click()
        y, x = shown[1]["cells"][0]["position"]
        assert page.locator("#title").inner_text() == f"relu5, map {shown[1]['channel']} at {y},{x}"
        page.locator("#maps button").nth(0).click()
        cell = shown[0]["cells"][1]
        frame = page.locator("#map").bounding_box()
        y, x = ((index + 0.5) / 8 for index in cell["position"])
        page.locator("#map").click(position={"x": x * frame["width"], "y": y * frame["height"]})
        assert drawn(page) == cell["picture"]
        assert page.locator("#steps .step").count() == 6
        assert page.locator("#steps .step b").all_inner_texts()[-1] == "the pixels"


def test_the_box_lies_where_the_unit_looks(browser, place, data):
    cell = layers_of(data["photos"][0])["relu2"]["maps"][0]["cells"][0]
    with opened(browser, place) as page:
        page.get_by_role("button", name=re.compile("relu2")).click()
        stage, box = page.locator("#photo").bounding_box(), page.locator("#box").bounding_box()
        scale = stage["width"] / 128
        top, left, bottom, right = cell["box"]
        assert box["x"] - stage["x"] == pytest.approx(left * scale, abs=1.5)
        assert box["y"] - stage["y"] == pytest.approx(top * scale, abs=1.5)
        assert box["width"] == pytest.approx((right - left) * scale, abs=1.5)
        assert box["height"] == pytest.approx((bottom - top) * scale, abs=1.5)
        page.get_by_label("lay the projection over the photo").check()
        assert page.locator("#laid").bounding_box() == box


def test_what_it_says_to_run_gives_what_it_shows(browser, place, net):
    with opened(browser, place, "#0/relu3") as page:
        title = page.locator("#title").inner_text()
        lines, command = page.locator("#python").inner_text(), page.locator("#command").inner_text()
    namespace: dict[str, object] = {}
    exec(lines.replace("\nnet.project", "\nresult = net.project"), namespace)
    unit = namespace["result"].units[0]
    assert title == f"relu3, map {unit.channel} at {unit.position[0]},{unit.position[1]}"
    _, name, *arguments = shlex.split(command)
    get_command(app).commands[name].make_context(name, list(arguments))
    assert arguments == ["sample:chelsea", "--layer", "relu3", "--channel", str(unit.channel), "--position",
                         ",".join(map(str, unit.position))]  # fmt: skip


def test_all_can_be_done_from_the_keyboard(browser, place, data):
    photo = data["photos"][0]
    with opened(browser, place) as page:
        for _ in range(2):  # the photos, the classes
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        assert drawn(page) == photo["classes"][1]["picture"]
        page.keyboard.press("End")
        assert drawn(page) == photo["classes"][4]["picture"]
        page.keyboard.press("Tab")  # the layers
        page.keyboard.press("Enter")
        assert page.locator("#title").inner_text().startswith("relu1, map")
        page.keyboard.press("ArrowDown")
        assert page.locator("#title").inner_text().startswith("relu2, map")
        page.keyboard.press("Tab")  # the maps
        page.keyboard.press("ArrowRight")
        second = layers_of(photo)["relu2"]["maps"][1]
        assert drawn(page) == second["cells"][0]["picture"]
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Tab")  # the box to tick
        page.keyboard.press("Space")
        assert page.locator("#laid").is_visible()
        page.keyboard.press("Tab")  # the map
        before = page.locator("#title").inner_text()
        moved = set()
        for key in ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"):
            page.keyboard.press(key)
            moved.add(page.locator("#title").inner_text())
        assert moved - {before}
        assert page.evaluate("document.activeElement.id") == "map"


def test_an_address_brings_back_what_was_shown(browser, place):
    with opened(browser, place) as page:
        page.locator("#photos button").nth(1).click()
        page.get_by_role("button", name=re.compile("relu4")).click()
        page.locator("#maps button").nth(3).click()
        title, address = page.locator("#title").inner_text(), page.url.partition("#")[2]
    with opened(browser, place, "#" + address) as page:
        assert page.locator("#title").inner_text() == title
        assert page.locator("#photo-name").inner_text() == "sample:coffee"
    for address in ("#7/nothing/of/this", "#0/%E0%A4%A"):
        with opened(browser, place, address) as page:
            assert page.locator("#title").inner_text() == "domestic cat"


def test_without_javascript_the_likeliest_class_is_shown(browser, place, data):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(place.as_uri())
    assert "The likeliest class is domestic cat (" in page.locator("noscript p").first.inner_text()
    sources = page.locator("noscript img").evaluate_all("all => all.map((one) => one.src.split(',')[1])")
    assert sources == [data["photos"][0]["image"], data["photos"][0]["classes"][0]["picture"]]
    assert page.locator("main").is_hidden()
    context.close()


def test_on_a_phone_what_was_tapped_comes_into_view(browser, place):
    phone = {"viewport": {"width": 375, "height": 740}, "is_mobile": True, "has_touch": True}
    with opened(browser, place, reduced_motion="reduce", **phone) as page:
        page.get_by_role("button", name=re.compile("relu5")).tap()
        assert page.locator("#maps").bounding_box()["y"] > 0  # they and what they show
        assert page.locator("#stage").bounding_box()["y"] < 600
        page.locator("#maps button").nth(1).tap()
        box = page.locator("#projection").bounding_box()
        stage = page.locator("#stage").bounding_box()
        assert min(box["y"], stage["y"]) < 600
        page.locator("#cells button").nth(1).tap()
        box, stage = page.locator("#projection").bounding_box(), page.locator("#stage").bounding_box()
        assert 0 < box["y"] + box["height"] / 2 < 740 or 0 < stage["y"] + stage["height"] / 2 < 740


def test_photos_of_one_name_are_numbered_and_odd_names_can_be_run(browser, net, loaded, tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("x.png", "a/x.png", "-l.png", "cat \U0001f431.png"):
        Image.new("RGB", (64, 64), "teal").save(tmp_path / name)
    place = tmp_path / "page.html"
    photos = [tmp_path / "x.png", tmp_path / "a/x.png", tmp_path / "-l.png", tmp_path / "cat \U0001f431.png",
              np.zeros((30, 40, 3), np.uint8) + 99]  # fmt: skip
    report(net, photos, place, loaded=loaded, layers=["relu1"], maps=1)
    lines, commands = [], []
    with opened(browser, place) as page:
        assert page.locator("#photos button").all_inner_texts()[:2] == ["x.png (1)", "x.png (2)"]
        for i in range(5):
            page.locator("#photos button").nth(i).click()
            lines.append(page.locator("#python").inner_text())
            commands.append(page.locator("#command").inner_text() if page.locator("#command").is_visible() else None)
    assert shlex.split(commands[2])[2] == "./-l.png" and commands[4] is None
    assert "# photo: your image" in lines[4] and "images(photo)" in lines[4]
    with contextlib.chdir(tmp_path):
        for run in lines[:4]:
            exec(run, {})
        exec(lines[4], {"photo": photos[4]})


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (1100, 800), (1024, 768), (820, 1100), (360, 740)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_desks_and_phones_and_is_accessible(browser, place, width, height, scheme):
    with opened(browser, place, viewport={"width": width, "height": height}, color_scheme=scheme) as page:
        for layer in (None, "relu5", "relu6"):
            if layer:
                page.get_by_role("button", name=re.compile(layer)).click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            found = AXE.Axe().run(page)
            assert found.violations_count == 0, found.generate_report()


def test_names_that_hold_html_are_shown_as_they_are(browser, net, loaded, tmp_path):
    photo = tmp_path / "<img src=x onerror=alert(1)> & '.png"
    Image.new("RGB", (64, 64), "teal").save(photo)
    labels = ("</script><script>alert(2)</script>", *loaded.labels[1:])
    tricky = LoadedModel(loaded.model, loaded.preprocess, labels, "zfnet-mini")
    place = tmp_path / "page.html"
    report(net, photo, place, loaded=tricky, layers=["relu1"], maps=1)
    with opened(browser, place) as page:
        assert page.locator("#photo-name").inner_text() == photo.name
        assert page.evaluate("document.scripts.length") == 2
        command = page.locator("#command").inner_text()
    assert shlex.split(command)[2] == photo.name


def test_it_works_in_a_cell_of_a_notebook(browser, place, tmp_path):
    cell = tmp_path / "cell.html"
    cell.write_text(f"<!doctype html><title>notebook</title>{Report(place.read_text(), None)._repr_html_()}")
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.goto(cell.as_uri())
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name=re.compile("relu5")).click()
    assert frame.locator("#title").inner_text().startswith("relu5, map")
    assert not faults
    page.close()


def test_a_report_is_short_when_printed(place):
    made = Report("x" * 2_000_000, place)
    assert repr(made) == f"<Report of 2 MB in '{place}'>"
