"""What a reconstruction holds: windows, boxes, pictures, files."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from support.classifier import classifier, close, images
from torch import nn

from deconvnet import ArgumentError, DeconvNet, Figure, Preprocess, Reconstruction, Unit
from deconvnet.results.reconstruction import caption


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    return classifier()


def test_windows_and_boxes_make_the_full_picture(net: DeconvNet):
    x = images()
    result = net.project(x, "conv2", channel="all")
    assert result.windows.shape == (16, 3, 8, 8)
    assert result.boxes.shape == (16, 2, 2)
    full = result.full()
    assert full.shape == (16, 3, 14, 14)
    for i, (low, high) in enumerate(result.boxes.tolist()):
        assert [b - a for a, b in zip(low, high, strict=True)] == [8, 8]
        outside = full[i].clone()
        outside[:, max(low[0], 0) : high[0], max(low[1], 0) : high[1]] = 0
        assert not outside.any()
        inside = F.pad(full[i], (8, 8, 8, 8))[:, low[0] + 8 : high[0] + 8, low[1] + 8 : high[1] + 8]
        assert torch.equal(inside, result.windows[i])


def test_a_box_may_reach_past_the_border(net: DeconvNet):
    result = net.project(images(1), "conv2", channel=1, position=(0, 5), start="one")
    assert result.boxes.tolist() == [[[-2, 8], [6, 16]]]
    window = result.windows[0]
    assert not window[:, :2].any() and not window[:, :, 6:].any()


def test_magnitude_is_the_root_of_the_sum_of_squares_over_channels(net: DeconvNet):
    result = net.explain(images(), 1)
    assert close(result.magnitude(), result.full().square().sum(1).sqrt(), 1e-6)


def test_pictures_show_the_energy_the_field_or_all(net: DeconvNet):
    result = net.project(images(), "conv2", channel=1, position=(3, 3))
    assert result.picture(0, crop="none").size == (14, 14)
    assert result.picture(1, crop="field").size == (8, 8)
    energy = result.picture(0)
    assert isinstance(energy, Image.Image)
    assert energy.width <= 8 and energy.height <= 8
    with pytest.raises(ArgumentError, match="crop is 'energy', 'field' or 'none'; got 'middle'"):
        result.picture(0, crop="middle")
    with pytest.raises(ArgumentError, match="linear"):
        result.picture(0, scale="cubic")


def test_results_are_saved_as_one_image(net: DeconvNet, tmp_path: Path):
    one = net.project(images(1), "conv2", channel=1)
    many = net.project(images(), "conv2", channel="all")
    for result, name in ((one, "one.png"), (many, "many.webp")):
        path = result.save(tmp_path / name)
        assert path == tmp_path / name
        with Image.open(path) as image:
            assert min(image.size) > 0
    with pytest.raises(ArgumentError, match=r"one\.png"):
        one.save(tmp_path / "one.png")
    one.save(str(tmp_path / "one.png"), force=True)
    with pytest.raises(ArgumentError, match="xyz"):
        one.save(tmp_path / "one.xyz")


def test_a_result_cannot_be_changed_by_assignment(net: DeconvNet):
    result = net.explain(images(), 1)
    with pytest.raises(AttributeError):
        result.notes = ()


# ---- figures


def free_of_photos(rules: str = "deconvnet") -> Reconstruction:
    """Units of a network without switches, so that under `deconvnet` their pictures are those of every photo."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    x = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return DeconvNet(model, x, rules=rules).project(x, "2", channel=[0, 1], start="one")


def preprocess() -> Preprocess:
    return Preprocess((12, 12), 12, (0.5,) * 3, (0.25,) * 3)


def words_of(figure: Figure) -> str:
    return " ".join(line.text for page in figure.pages for line in page.lines)


def test_a_picture_that_is_the_same_for_every_photo_says_so_in_the_figure_and_what_to_do():
    same, own = free_of_photos(), free_of_photos("guided")
    for figure in (same.beside("sample:coffee", preprocess()), same.sheet(["sample:coffee"], preprocess())):
        assert "the same for every photo" in words_of(figure) and "--rules guided" in words_of(figure)
        assert "lies in the photo" not in words_of(figure)
    bare = same.beside("sample:coffee", preprocess(), text=False)
    assert words_of(bare) == "the same for every photo the same for every photo"
    for figure in (own.beside("sample:coffee", preprocess()), own.sheet(["sample:coffee"], preprocess())):
        assert "same for every photo" not in words_of(figure) and "guided" not in words_of(figure)
    assert "where it lies in the photo" in words_of(own.beside("sample:coffee", preprocess()))


def test_a_map_of_what_is_the_same_for_every_photo_lies_on_none():
    result = free_of_photos()
    one, other = (result.beside(photo, preprocess()).pages[0].pictures for photo in ("sample:coffee", "sample:rocket"))
    assert one[0].image.tobytes() != other[0].image.tobytes()
    assert [part.image.tobytes() for part in one[1:]] == [part.image.tobytes() for part in other[1:]]


def test_captions_say_map_row_and_column():
    assert caption(Unit("a", 348, (2, 0), 0), 407.2) == "map 348 at row 2, column 0: activation 407"
    assert caption(Unit("a", 3, (5,), 0), 1.0) == "map 3 at position 5: activation 1"
    assert caption(Unit("a", 3, (1, 2, 3), 0), 1.0) == "map 3 at position 1,2,3: activation 1"
    assert caption(Unit("a", 3, (), 0), 0.25) == "unit 3: activation 0.25"
    assert caption(Unit("a", 3, None, 0), -2.0) == "map 3: activation -2"
    assert caption(Unit("a", None, None, 0), 2.0) == "activation 2"


def test_units_of_a_map_can_have_a_row_or_a_column(net: DeconvNet):
    result = net.project(images(), "conv2", channel=[1, 2, 3])
    count = len(result) // 3
    for arrange, down, across in (("rows", 3, count), ("columns", count, 3)):
        pictures = result.sheet(arrange=arrange, text=False, crop="field").pages[0].pictures
        assert len({part.left for part in pictures}) == across and len({part.top for part in pictures}) == down
    with pytest.raises(ArgumentError, match="belongs to a grid"):
        result.sheet(arrange="rows", columns=2)


def test_a_figure_has_the_tile_the_columns_and_the_title_that_were_asked_for(net: DeconvNet):
    result = net.project(images(1), "conv2", channel=[1, 2, 3])
    figure = result.sheet(tile=50, columns=1, dpi=192, title="What it looks for", crop="field")
    assert {(part.width, part.height) for part in figure.pages[0].pictures} == {(50, 50)}
    assert len({part.left for part in figure.pages[0].pictures}) == 1
    assert words_of(figure).startswith("What it looks for Zero is grey.") and figure.dpi == 192


def test_files_of_any_format_hold_units_with_their_captions(net: DeconvNet, tmp_path: Path):
    result = net.project(images(1), "conv2", channel=[1, 2])
    for name in ("a.pdf", "a.svg", "a.png"):
        assert result.save(tmp_path / name) == tmp_path / name
    assert "map 1 at row" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    alone = net.project(images(1), "conv2", channel=1)
    alone.save(tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size == alone.picture(0).size
    alone.save(tmp_path / "b.svg")
    assert "map 1 at row" in (tmp_path / "b.svg").read_text(encoding="utf-8")
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        alone.save(tmp_path / "c.png", colour="red")


def test_photos_and_how_they_were_prepared_come_together(net: DeconvNet):
    with pytest.raises(ArgumentError, match="preprocess is"):
        net.project(images(1), "conv2", channel=1).sheet(["sample:coffee"])
    with pytest.raises(ArgumentError, match="photos is a list"):
        net.project(images(1), "conv2", channel=1).sheet(preprocess=preprocess())
