"""Snapshots of a toy training in which the strongest photo, its position and its picture are known at every epoch."""

import random
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from support.commands import captured_once
from support.untouched import unchanged
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import deconvnet
from deconvnet import ArgumentError, DeconvNetWarning, LayerNotFoundError, Preprocess
from deconvnet.capture import trace
from deconvnet.training import Evolution, Snapshots

PIXELS = [(1, 2), (3, 4), (5, 0)]


@pytest.fixture(autouse=True)
def one_capture(monkeypatch):
    monkeypatch.setattr(trace, "capture", captured_once)


def photos() -> Tensor:
    """Photo c is 1 + c / 10 in channel c at one pixel, and 0 elsewhere."""
    x = torch.zeros(3, 3, 6, 6)
    for c, (row, column) in enumerate(PIXELS):
        x[c, c, row, column] = 1 + c / 10
    return x


def network(*looks_at: int) -> nn.Sequential:
    """Map m gives channel `looks_at[m]` of the photo, rectified."""
    model = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.ReLU())
    look(model, *looks_at or (0, 1))
    return model


def look(model: nn.Sequential, *looks_at: int) -> None:
    with torch.no_grad():
        model[0].weight.zero_()
        for m, channel in enumerate(looks_at):
            model[0].weight[m, channel] = 1


def start(folder, model=None, **options) -> Evolution:
    return Evolution(
        model or network(), photos(), folder=folder, **{"layers": {"1": [0, 1]}, "epochs": None, **options}
    )


@pytest.fixture
def watched(tmp_path) -> Snapshots:
    """Map 0 looks at channel 0, 0 and 2; map 1 always at channel 1, at last negatively."""
    model = network(0, 1)
    evolution = start(tmp_path / "e", model, epochs=(1, 2, 4))
    for epoch in range(1, 5):
        look(model, 2 if epoch > 2 else 0, 1)
        if epoch > 3:
            with torch.no_grad():
                model[0].weight[1].neg_()
        evolution.after(epoch, step=10 * epoch)
    return evolution.snapshots()


def test_each_map_shows_its_strongest_photo_at_every_epoch(watched):
    assert watched.epochs == (1, 2, 4) and watched.layers == ("1",)
    assert [snapshot.step for snapshot in watched] == [10, 20, 40]
    assert [snapshot.layers[0].photos for snapshot in watched] == [("0", "1"), ("0", "1"), ("2", None)]
    assert watched[0].layers[0].activations.tolist() == pytest.approx([1.0, 1.1])
    assert watched[2].layers[0].activations.tolist() == pytest.approx([1.2, 0.0])
    pictures = [snapshot.layers[0].picture(0).whole(0) for snapshot in watched]
    for picture, channel in zip(pictures, (0, 0, 2), strict=True):
        assert torch.equal(picture.nonzero(), torch.tensor([[channel, *PIXELS[channel]]]))
    assert watched[2].layers[0].picture(1) is None
    assert not watched.notes and watched[0].photos == 3


def test_convergence_says_what_has_changed(watched):
    convergence = watched.convergence
    assert convergence.changed[0].tolist()[1:] == [0.0, 1.0] and convergence.changed[0, 0].isnan()
    assert convergence.pictures[0, 1].item() == pytest.approx(1.0) and convergence.pictures[0, [0, 2]].isnan().all()
    assert convergence.filters[0].tolist() == pytest.approx([-0.5, -0.5, 1.0])  # 0 of map 0, -1 of map 1
    rows = watched.to_frame()
    assert list(rows) == [
        "epoch", "step", "layer", "channel", "photo", "activation", "y", "x", "changed", "cosine", "filter_cosine",
    ]  # fmt: skip
    assert list(rows["photo"][:4]) == ["0", "1", "0", "1"] and list(rows["y"][:2]) == [1, 3]
    assert list(convergence.to_frame()["epoch"]) == [1, 2, 4]


def test_what_was_written_opens_again(watched, tmp_path):
    opened = deconvnet.open(tmp_path / "e")
    assert isinstance(opened, Snapshots) and opened.epochs == watched.epochs
    last = deconvnet.open(tmp_path / "e" / "epoch-00004")
    assert last.epoch == 4 and torch.equal(last.layers[0].pictures.windows, watched[2].layers[0].pictures.windows)
    copy = deconvnet.open(watched.save(tmp_path / "copy"))
    assert copy.convergence.filters.tolist() == watched.convergence.filters.tolist()


def has_frame(snapshots: Snapshots) -> bool:
    pixels = np.asarray(snapshots.figure(dpi=200).image()).astype(int)
    return bool((abs(pixels - (0xEE, 0x66, 0x77)).max(2) < 8).any())


def test_the_figure_is_drawn_with_a_frame_where_the_photo_has_changed(watched, tmp_path):
    assert has_frame(watched)
    assert not has_frame(Snapshots(watched[:2], (), ()))
    watched.save(tmp_path / "figure.svg")
    assert "map 1" in (tmp_path / "figure.svg").read_text()
    watched[0].save(tmp_path / "figure.png")
    watched.convergence.figure(title="how far").save(tmp_path / "curves.pdf")
    with pytest.raises(ArgumentError, match="not one snapshot"):
        Snapshots((), (), ()).figure()


def test_the_model_and_the_random_state_are_left_as_they_were(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU()).train()
    model[1].eval()  # a flag that differs

    class Noisy(TensorDataset):
        def __getitem__(self, i):
            return photos()[i] + torch.rand(()) * 0 + random.random() * 0 + np.random.rand() * 0, i

    generator = torch.Generator()
    loader = DataLoader(Noisy(torch.zeros(3)), batch_size=2, shuffle=True, generator=generator)
    with unchanged(model):
        before = generator.get_state()
        evolution = Evolution(model, loader, folder=tmp_path / "e", layers=["3"], maps=2, epochs=None)
        evolution.after(1)
        assert torch.equal(generator.get_state(), before)
    assert evolution.snapshots()[0].photos == 3


def test_a_shuffled_loader_gives_the_same_photos_the_same_names(tmp_path):
    loader = DataLoader(TensorDataset(photos(), torch.arange(3)), batch_size=2, shuffle=True)
    evolution = Evolution(network(), loader, folder=tmp_path / "e", layers=["1"], epochs=None)
    for epoch in range(1, 5):
        torch.manual_seed(epoch)
        evolution.after(epoch)
    assert evolution.snapshots().convergence.changed[0, 1:].tolist() == [0.0] * 3


def test_batch_norm_is_looked_at_in_eval(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    for _ in range(3):
        model(torch.randn(8, 3, 6, 6))
    activations = start(tmp_path / "e", model, layers={"2": range(4)}).after(0).layers[0].activations
    with torch.no_grad():
        truth = model.eval()(photos()).amax((0, 2, 3))
    assert torch.allclose(activations, truth, atol=1e-6)


def test_the_filters_are_those_of_the_convolution_below(tmp_path):
    convolution = nn.ConvTranspose2d(3, 4, 2)
    model = nn.Sequential(convolution, nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5))
    layers = start(tmp_path / "e", model, layers={"3": [2], "5": [4], "4": [0]}).after(0).layers
    assert torch.equal(layers[0].filters[0], convolution.weight[:, 2].flatten())
    assert torch.equal(layers[1].filters[0], model[5].weight[4])
    assert layers[2].filters is None


def test_photos_come_from_a_folder_with_their_names(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (6, 6), "red").save(tmp_path / "photos" / "red.png")
    Image.new("RGB", (6, 6), "lime").save(tmp_path / "photos" / "green.png")
    (tmp_path / "photos" / "torn.png").write_bytes(b"x")
    prepare = Preprocess((6, 6), 6, (0.5,) * 3, (0.5,) * 3)
    evolution = Evolution(
        network(0, 1), tmp_path / "photos", preprocess=prepare, folder=tmp_path / "e", layers=["1"], epochs=None
    )
    with pytest.warns(DeconvNetWarning, match=r"photo 'torn.png' is left out"):
        snapshot = evolution.after(1)
    assert snapshot.photos == 2 and snapshot.layers[0].photos == ("red.png", "green.png")


def test_default_layers_and_random_maps_are_the_same_for_one_seed(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 9, 3), nn.ReLU(), nn.Conv2d(9, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    first, same, other = (
        start(tmp_path / name, model, layers=None, maps=5, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.layers == same.layers != other.layers
    assert list(first.layers) == ["1", "3"] and [len(maps) for maps in first.layers.values()] == [5, 4]


def test_a_deconvnet_brings_its_own_rules(tmp_path):
    net = deconvnet.DeconvNet(network(), photos()[:1], rules="guided")
    assert start(tmp_path / "e", net).after(1).layers[0].pictures.rules.name == "guided"


def test_snapshots_of_a_training_that_was_left_are_removed(tmp_path):
    first = start(tmp_path / "e")
    for epoch in (1, 2, 3):
        first.after(epoch)
    again = start(tmp_path / "e", network(2, 1), resume=True)
    assert again.snapshots().epochs == (1, 2, 3)
    assert again.latest().epoch == 3 and again.latest(before=2).epoch == 1 and again.latest(before=1) is None
    again.after(2)
    assert again.snapshots().epochs == (1, 2)
    assert [snapshot.layers[0].photos[0] for snapshot in again.snapshots()] == ["0", "2"]


def test_a_folder_with_snapshots_is_refused_without_resume(tmp_path):
    start(tmp_path / "e")
    with pytest.raises(ArgumentError, match="resume=True"):
        start(tmp_path / "e")


def test_other_maps_or_photos_are_refused(tmp_path):
    start(tmp_path / "e")
    with pytest.raises(ArgumentError, match=r"was started with layers\.1=\[0, 1\], now layers\.1=\[0\]"):
        start(tmp_path / "e", layers={"1": [0]}, resume=True)
    with pytest.raises(ArgumentError, match="photos="):
        Evolution(network(), photos() + 1, folder=tmp_path / "e", layers={"1": [0, 1]}, resume=True)
    start(tmp_path / "e", epochs=(7,), resume=True)  # other epochs are the same evolution


def test_what_is_not_ours_is_never_touched(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").write_text("x")
    with pytest.raises(ArgumentError, match="is not empty"):
        start(tmp_path / "own")
    evolution = start(tmp_path / "e")
    evolution.after(2)
    (tmp_path / "e" / "epoch-00002" / "notes.txt").write_text("mine")
    evolution.after(1)
    assert (tmp_path / "e" / "epoch-00002" / "notes.txt").read_text() == "mine"
    assert evolution.snapshots().epochs == (1,)


def test_a_damaged_snapshot_is_named(tmp_path):
    start(tmp_path / "e").after(1)
    (tmp_path / "e" / "epoch-00001" / "arrays.safetensors").write_bytes(b"x")
    with pytest.raises(deconvnet.DeconvNetError, match=r"epoch-00001.*damaged"):
        deconvnet.open(tmp_path / "e")


def test_weights_that_are_not_finite_do_not_end_the_training(tmp_path):
    model = network()
    evolution = start(tmp_path / "e", model)
    evolution.after(1)
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    with pytest.warns(DeconvNetWarning, match=r"no snapshot after epoch 2: .*NaN"):
        assert evolution.after(2) is None
    look(model, 0, 1)
    evolution.after(3)
    snapshots = evolution.snapshots()
    assert snapshots.epochs == (1, 3) and snapshots.missed[0][0] == 2
    assert "No snapshot after epoch 2" in snapshots.notes[0]
    evolution.after(2)
    assert not evolution.snapshots().missed and evolution.snapshots().epochs == (1, 2)


def test_a_data_set_that_fails_does_not_end_the_training(tmp_path):
    class Failing(list):
        fails = False

        def __iter__(self):
            if self.fails:
                raise RuntimeError("the disk is gone")
            return super().__iter__()

    batches = Failing([photos()])
    evolution = Evolution(network(), batches, folder=tmp_path / "e", layers=["1"], epochs=None)
    batches.fails = True
    with pytest.warns(DeconvNetWarning, match="RuntimeError: the disk is gone"):
        evolution.after(1)


def test_a_folder_that_is_gone_does_not_end_the_training(tmp_path):
    evolution = start(tmp_path / "e")
    (tmp_path / "e" / "evolution.json").unlink()
    (tmp_path / "e").rmdir()
    (tmp_path / "e").write_text("a file")
    with pytest.warns(DeconvNetWarning, match=r"no snapshot after epoch 1.*cannot be noted either"):
        assert evolution.after(1) is None


def test_a_layer_that_cannot_be_carried_down_leaves_the_others(tmp_path, monkeypatch):
    evolution = start(tmp_path / "e", layers=["0", "1"])

    def project(net, x, layer, **options):
        if layer == "0":
            raise MemoryError("no room")
        return was(net, x, layer, **options)

    was = deconvnet.DeconvNet.project
    monkeypatch.setattr(deconvnet.DeconvNet, "project", project)
    with pytest.warns(DeconvNetWarning, match="layer '0' could not be carried down: no room"):
        evolution.after(1)
    snapshot = evolution.snapshots()[0]
    assert snapshot.layers[0].pictures is None and snapshot.layers[1].pictures is not None
    assert "no room" in snapshot.notes[0]
    evolution.snapshots().figure(dpi=30).image()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"layers": ["relu9"]}, "no layer 'relu9'"),
        ({"layers": {"1": [2]}}, "there are 2 maps in layer '1'"),
        ({"layers": {"1": [0, 0]}}, "names a feature map twice"),
        ({"layers": {"1": 3}}, "is a list of feature maps"),
        ({"photos": (x for x in [photos()])}, "looped over only once"),
        ({"photos": "photos/"}, "preprocess="),
        ({"photos": [torch.zeros(3, dtype=torch.long)]}, "a tensor of images"),
        ({"photos": []}, "not one image"),
        ({"model": "zfnet"}, "model is a torch.nn.Module"),
        ({"epochs": (1, -2)}, "each of epochs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "".join(value),
)
def test_bad_arguments_are_refused_before_the_training(tmp_path, wrong, match):
    given = {"model": network(), "photos": photos(), "folder": tmp_path / "e", "layers": ["1"], **wrong}
    with pytest.raises(ArgumentError, match=match) as raised:
        Evolution(given.pop("model"), given.pop("photos"), **given)
    assert "layers" not in wrong or "relu9" not in str(wrong) or raised.type is LayerNotFoundError
    assert not (tmp_path / "e").exists()


def test_all_is_quiet_when_all_is_well(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evolution = start(tmp_path / "e")
        assert evolution.after(1) is not None
    assert repr(evolution).startswith("<Evolution of 2 maps of '1' in")
    with pytest.raises(ArgumentError, match="epoch is a whole number"):
        evolution.after(1.5)
