"""The report: what its page holds."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from support.pages import data_of, layers_of, pixels, small, stack
from torch import nn

from deconvnet import (
    ArgumentError,
    DeconvNet,
    LayerNotFoundError,
    LoadedModel,
    NotFiniteError,
    PhotoError,
    UnsupportedOperationError,
    load_model,
    report,
)
from deconvnet.pictures.numbers import percent
from deconvnet.viewer.repeat import source


@pytest.fixture(scope="module")
def attached() -> tuple[DeconvNet, LoadedModel]:
    return small(stack())


@pytest.fixture(scope="module")
def net(attached) -> DeconvNet:
    return attached[0]


@pytest.fixture(scope="module")
def loaded(attached) -> LoadedModel:
    return attached[1]


@pytest.fixture(scope="module")
def data(net, loaded) -> dict:
    return data_of(report(net, ["sample:chelsea", "sample:coffee"], loaded=loaded, maps=6).html)


# What the page holds.


def test_the_page_holds_the_likeliest_classes_and_the_rectified_layers_in_order(data, net, loaded):
    assert [photo["name"] for photo in data["photos"]] == ["sample:chelsea", "sample:coffee"]
    for photo in data["photos"]:
        chances = net.probabilities(loaded.preprocess.images(photo["name"]))[0]
        best = chances.sort(descending=True)
        assert [one["index"] for one in photo["classes"]] == best.indices[:5].tolist()
        assert [one["probability"] for one in photo["classes"]] == pytest.approx(best.values[:5].tolist())
        assert [one["label"] for one in photo["classes"]] == [loaded.label(int(c)) for c in best.indices[:5]]
        assert [layer["name"] for layer in photo["layers"]] == ["relu1", "relu2", "relu3"]


def test_a_unit_has_the_activation_box_and_picture_that_project_gives(data, net, loaded):
    x = loaded.preprocess.images("sample:chelsea")
    for name, layer in layers_of(data["photos"][0]).items():
        shown = layer["maps"][0]
        for cell in shown["cells"][:2]:
            result = net.project(x, name, channel=shown["channel"], position=tuple(cell["position"]))
            assert cell["activation"] == pytest.approx(float(result.activations), rel=1e-5)
            box = result.box(0)
            assert cell["box"] == [*box.low, *box.high]
            difference = pixels(cell["picture"]) - np.asarray(result.picture(0)).astype(float)
            assert np.abs(difference.mean(-1)).mean() < 12  # WebP is lossy, most of all in colours


def test_the_way_down_is_a_tile_for_each_step_that_changes_the_signal(data, net, loaded):
    photo = data["photos"][0]
    layer = layers_of(photo)["relu3"]
    down = ["relu3", "conv3", "pool2", "relu2", "conv2", "pool1", "relu1", "conv1"]
    assert [photo["passed"][i]["name"] for i in layer["down"]] == down
    cell = layer["maps"][0]["cells"][0]
    strip = pixels(cell["steps"])[..., 0]
    side = strip.shape[0]
    assert strip.shape == (side, len(down) * side)
    y, x = ((np.array(cell["position"]) + 0.5) / 8 * side).astype(int)
    assert strip[y, x] > 240 and np.abs(strip[:, :side] - 128).mean() < 10  # one position of 8 x 8
    told = [photo["words"][i] for i in layer["how"]]
    kinds = ["rectify", "filter", "unpool", "rectify", "filter", "unpool", "rectify", "filter"]
    assert [operations["kind"] for operations in told] == kinds
    errors = {step.layer: step.error for step in net.steps(loaded.preprocess.images("sample:chelsea"))}
    assert told[1]["lines"] == ["conv3: transposed filter"]
    assert told[2]["lines"] == ["pool2: unpool by switches (sum)"]
    (loss,) = told[2]["losses"]
    assert f"the maps of relu2 come back with an error of {percent(errors['relu2'])} (0 %: exactly" in loss


def test_switches_lead_from_the_middle_of_a_window_to_its_maximum(data, net, loaded):
    x = loaded.preprocess.images("sample:chelsea")
    photo = data["photos"][0]
    layer = layers_of(photo)["relu3"]
    shown = layer["maps"][0]
    cell = shown["cells"][0]
    steps = {step.layer: step for step in net.steps(x, "relu3", channel=shown["channel"], position=cell["position"])}
    views = dict(zip([photo["passed"][i]["name"] for i in layer["down"]], cell["switches"], strict=False))
    assert [name for name, view in views.items() if view] == ["relu2", "relu1"]
    for name in ("relu2", "relu1"):
        step, view = steps[name], views[name]
        assert view["channel"] == step.strongest
        targets = {tuple(divmod(int(at), step.signal.shape[2])) for at in step.switches[view["channel"]].flatten()}
        for i in range(0, len(view["lines"]), 4):
            middle, at = np.array(view["lines"][i : i + 2]) / 2, np.array(view["lines"][i + 2 : i + 4])
            assert tuple((at + view["low"]).tolist()) in targets
            assert np.abs(middle - at).max() <= 1
            assert step.signal[view["channel"], *(at + view["low"])] != 0


def test_classes_lead_to_units_of_the_page_and_other_photos_maps_are_there(data):
    for photo in data["photos"]:
        for one in photo["classes"]:
            assert {unit["layer"] for unit in one["responsible"]} == {0, 1, 2}
            for unit in one["responsible"]:
                maps = {shown["channel"]: shown for shown in photo["layers"][unit["layer"]]["maps"]}
                assert unit["position"] in [cell["position"] for cell in maps[unit["channel"]]["cells"]]
    for name in ("relu1", "relu2", "relu3"):
        chelsea, coffee = ([shown["channel"] for shown in layers_of(p)[name]["maps"]] for p in data["photos"])
        assert chelsea[0] in coffee and coffee[0] in chelsea


def test_the_map_is_black_at_zero_and_white_at_its_strongest(data, net, loaded):
    shown = layers_of(data["photos"][0])["relu3"]["maps"][0]
    maps = net.activations(loaded.preprocess.images("sample:chelsea"), "relu3")["relu3"][0, shown["channel"]]
    expected = (maps / maps.max() * 255).round().numpy()
    assert np.abs(pixels(shown["image"])[..., 0] - expected).max() <= 1


def test_the_same_photos_give_the_same_page(net, loaded):
    pages = [report(net, "sample:rocket", loaded=loaded, maps=2).html for _ in range(2)]
    assert pages[0] == pages[1]


def test_a_page_that_is_too_small_for_all_units_shows_as_many_of_each_layer_and_says_so(net, loaded):
    whole = report(net, "sample:chelsea", loaded=loaded)
    assert whole.units_left_out == 0 and not any("page size" in note for note in whole.notes)
    shown = []
    for page_size in (190_000, 300_000):
        made = report(net, "sample:chelsea", loaded=loaded, page_size=page_size)
        assert len(made.html.encode()) <= page_size
        assert made.units + made.units_left_out == whole.units
        layers = data_of(made.html)["photos"][0]["layers"]
        counts = [sum(len(one["cells"]) for one in layer["maps"]) for layer in layers]
        assert sum(counts) == made.units
        assert len({count for count, layer in zip(counts, layers, strict=True) if layer["left_out"]}) == 1
        assert sum(layer["left_out"] for layer in layers) == made.units_left_out > 0
        assert re.search(f"page size: {made.units_left_out} of {whole.units} units were left out", made.notes[0])
        shown.append(made.units)
    assert shown[0] < shown[1]


def test_what_a_page_says_is_enough_is(net, loaded):
    labels = tuple(f"a long name, number {i}, {'x' * 3000}" for i in range(5))
    wordy = LoadedModel(loaded.model, loaded.preprocess, labels)
    photos = ["sample:chelsea", "sample:rocket"]
    with pytest.raises(ArgumentError, match=r"about \d+ kB more would be enough") as error:
        report(net, photos, loaded=wordy, page_size=110_000)
    page_size = 110_000 + 1000 * int(re.search("about ([0-9]+) kB", str(error.value))[1])
    assert len(report(net, photos, loaded=wordy, page_size=page_size).html.encode()) <= page_size


def test_progress_is_told(net, loaded):
    told: list[float] = []
    report(net, ["sample:chelsea", "sample:coffee"], loaded=loaded, maps=1, progress=told.append)
    assert told == sorted(told) and told[-1] == 1 and 0.5 in told


# Other networks.


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
    height, width, _ = pixels(photo["image"]).shape
    assert width / height == pytest.approx(48 / 20, rel=0.05)


def test_layers_can_be_chosen_also_beside_the_way(net, loaded):
    page = report(net, "sample:chelsea", loaded=loaded, layers=["conv3", "pool1"], maps=2)
    assert [layer["name"] for layer in data_of(page.html)["photos"][0]["layers"]] == ["pool1", "conv3"]


# How to make it again.


def test_files_are_named_as_the_user_gave_them_without_the_folders_above_that_of_the_run(tmp_path, monkeypatch):
    from deconvnet import zfnet_mini

    folder = tmp_path / "private" / "work"
    (folder / "photos").mkdir(parents=True)
    Image.new("RGB", (50, 40), "red").save(folder / "photos" / "red.png")
    torch.save(zfnet_mini().state_dict(), folder / "mine.pt")
    monkeypatch.chdir(folder)
    loaded = load_model("zfnet-mini", weights=folder / "mine.pt")
    net = DeconvNet(loaded.model, loaded.example_input)
    photos = ["photos/red.png", folder / "photos/red.png"]
    page = report(net, photos, loaded=loaded, layers=["relu1"], maps=1)
    data = data_of(page.html)
    assert [photo["source"] for photo in data["photos"]] == ["photos/red.png"] * 2
    assert [photo["name"] for photo in data["photos"]] == ["red.png", "red.png"]
    assert data["flags"] == "--weights mine.pt" and "load_model('zfnet-mini', weights='mine.pt')" in data["setup"]
    assert "zfnet-mini with mine.pt" in page.html and "private" not in page.html
    monkeypatch.chdir(tmp_path / "private" / "work" / "photos")
    assert source(folder / "mine.pt") == str(folder / "mine.pt")  # the only way that leads to it from any folder
    assert source("../mine.pt") == "../mine.pt" and source("-x.png") == "./-x.png"


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (
            {"page_size": "50kB"},
            ArgumentError,
            "the page size does not hold the classes and one unit of each layer: ",
        ),
        ({"page_size": "-1"}, ArgumentError, "page_size is a number of bytes or a size such as '2GB'; got '-1'"),
        ({"maps": 0}, ArgumentError, "maps is a whole number, 1 or more; got 0"),
        ({"layers": ["relu77"]}, LayerNotFoundError, "no layer 'relu77'"),
        ({"layers": []}, ArgumentError, "layers is one name or several, or None for the main layers; got []"),
        ({"layers": [nn.ReLU()]}, ArgumentError, "layers is one name or several"),
        ({"photos": None}, ArgumentError, "photos is one photo or several, as load_photo takes them; got None"),
        ({"photos": 5}, ArgumentError, "photos is one photo or several, as load_photo takes them; got 5"),
        ({"photos": []}, ArgumentError, "no photos in the list"),
        ({"photos": range(10**12)}, ArgumentError, "more than 100,000 photos, which one page cannot show"),
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
    assert [name for name, _ in made.left_out] == ["nowhere.jpg", str(broken)] and made.left_out_indices == (0, 2)
    assert "no such file" in made.left_out[0][1] and told[-1] == 1
    assert [photo["name"] for photo in data_of(made.html)["photos"]] == ["sample:chelsea"]


def test_a_layer_may_be_given_by_any_of_its_names(net, loaded):
    for name, first in (("flatten", "flatten"), ("relu3", "relu3")):
        photo = data_of(report(net, "sample:chelsea", loaded=loaded, layers=name, maps=1).html)["photos"][0]
        assert [layer["name"] for layer in photo["layers"]] == [first]
    branches = load_model("torchvision:squeezenet1_1@random", size=64)
    branched = DeconvNet(branches.model, branches.example_input)
    photo = data_of(report(branched, "sample:coffee", loaded=branches, layers=["features"], maps=1).html)["photos"][0]
    assert [layer["name"] for layer in photo["layers"]] == ["features.12"]
    assert "features.12" in [photo["passed"][i]["name"] for i in photo["classes"][0]["down"]]


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
    assert not layers["relu3"]["notes"]


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
