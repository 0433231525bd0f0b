"""What the pages of an atlas say is what the atlas holds, and what they draw is to scale."""

import subprocess
import sys
from itertools import pairwise

import pytest
from support.atlases import LAYER
from support.coloured_atlas import coloured_atlas

from deconvnet import ArgumentError, Atlas, LayerNotFoundError
from deconvnet.atlas.manifest import AtlasLayer
from deconvnet.atlas.tables import MapStats
from deconvnet.viewer.atlas_pages import TileView
from deconvnet.viewer.atlas_views import AtlasViews, layer_words
from deconvnet.viewer.drawings import HIGH, LONG, SIDE, WIDE, Frame, bars, field_frame, spread

LAYERS = {"conv": (6, (16, 8)), "fc": (4, ())}
PHOTOS = [f"{i}.jpg" for i in range(20)]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> Atlas:
    folder = tmp_path_factory.mktemp("views") / "atlas"
    return Atlas.open(
        coloured_atlas(folder, LAYERS, PHOTOS, dead=((1, 2),), manifest={"preprocess": {"size": (64, 32)}})
    )


@pytest.fixture(scope="module")
def views(atlas) -> AtlasViews:
    return AtlasViews(atlas)


def test_the_network_lists_its_layers_with_size_field_dead_maps_and_the_strongest_maps_of_each(atlas, views):
    page = views.network()
    assert [card.link.name for card in page.layers] == list(LAYERS)
    assert page.layers[0].words == "6 maps of 16×8; a unit sees 16×16 of 64×32 pixels"
    assert page.layers[1].words.startswith("4 units; a unit sees") and page.layers[1].dead == 1
    stats = sorted(atlas.stats("conv"), key=lambda each: -each.max)
    assert [link.name for link, _ in page.layers[0].maps] == [f"map {each.channel}" for each in stats]
    assert len(page.layers[1].maps) == 3 and page.skipped == (("<b>broken</b>.jpg", "it is empty (0 bytes)."),)


def test_a_layer_whose_units_see_more_than_the_input_is_said_to_see_all_of_it():
    words = [layer_words(AtlasLayer("a", 1, (4, 4), None, (side, side), 8), (64, 64)) for side in (63, 64, 65)]
    assert [text.partition("sees ")[2] for text in words] == [
        "63×63 of 64×64 pixels", "all 64×64 pixels", "all 64×64 pixels (its field is 65×65)"
    ]  # fmt: skip


def test_the_network_lists_photos_by_how_many_maps_they_lead(atlas, views):
    page = views.network()
    led = {card.link.name: (card.led, card.ranked) for card in page.photos}
    for name in atlas.photos():
        tops = atlas.find(image=name)
        assert led[name] == (sum(top.rank == 0 for top in tops), len(tops))
    counts = [card.led for card in page.photos]
    assert counts == sorted(counts, reverse=True) and sum(counts) == 9 and page.photo_count == len(atlas.photos())


def test_a_map_shows_its_top_activations_in_order_each_with_photo_position_and_box(atlas, views):
    page, tops = views.feature_map("conv", 3), atlas.top("conv", 3)
    assert [top.photo.name for top in page.tops] == [top.image for top in tops]
    assert [top.signal.rank for top in page.tops] == [top.patch.rank for top in page.tops] == [0, 1, 2, 3]
    (y, x), (row, column) = tops[1].position, tops[1].box.low
    assert page.tops[1].where == (
        f"unit at {y}, {x} of 16×8", f"rows {row} to {row + 16}, columns {column} to {column + 16} of the photo"
    )  # fmt: skip
    assert page.before is not None and page.before.name == "map 2"
    assert page.after is not None and page.after.address == "maps/conv/4.html"
    assert dict(page.facts)["active"].endswith(" of positions") and page.photos == len(PHOTOS)


def test_a_dead_map_has_nothing_to_show_and_the_first_and_last_have_nothing_beside_them(views):
    dead, first, last = (views.feature_map("fc", channel) for channel in (2, 0, 3))
    assert dead.tops == () and dead.alike == ()
    assert first.before is None and last.after is None and first.after is not None and first.after.name == "unit 1"


def test_maps_that_share_the_most_photos_are_alike(atlas, views):
    photos = [{top.index for top in atlas.top("conv", i)} for i in range(6)]
    for channel in range(6):
        shared = [len(photos[channel] & photos[i]) for i in range(6)]
        alike = views.feature_map("conv", channel).alike
        assert {(int(link.name[4:]), count) for link, _, count in alike} == {
            (i, count) for i, count in enumerate(shared) if i != channel and count >= max(4 / 3, 1)
        }
        assert [count for *_, count in alike] == sorted((count for *_, count in alike), reverse=True)


def test_with_few_photos_no_maps_are_called_alike(tmp_path):
    few = AtlasViews(Atlas.open(coloured_atlas(tmp_path / "atlas", LAYERS, PHOTOS[:15])))
    assert all(few.feature_map("conv", channel).alike == () for channel in range(6))


def test_a_photo_shows_its_largest_patch_and_its_table_has_all_its_units(atlas, views):
    name = atlas.top("conv", 0)[0].image
    page, table, tops = views.photo(name), views.photo_table(name), atlas.find(image=name)
    assert page.words.endswith(f"is among the 4 strongest photos of {len(tops)}.")
    assert isinstance(page.tile, TileView) and page.tile.strip.endswith(".patch.webp")
    rows = [(table["layers"][layer][0], channel, rank) for layer, channel, rank, _ in table["units"]]
    assert rows == [(top.layer, top.channel, top.rank) for top in tops]
    assert [unit[3] for unit in table["units"]] == pytest.approx([top.activation for top in tops], rel=1e-3)


def test_tables_hold_what_grids_and_the_search_need(atlas, views):
    table = views.layer_table("fc")
    assert table["layers"] == [["fc", "fc", "unit", 4]] and table["dead"] == [2]
    assert table["max"] == pytest.approx([each.max for each in atlas.stats("fc")], rel=1e-3)
    search = views.search_table()
    assert [row[0] for row in search["layers"]] == list(LAYERS) and [row[0] for row in search["photos"]] == [
        *atlas.photos()
    ]


def test_unknown_pages_are_refused_as_the_atlas_does(views):
    with pytest.raises(LayerNotFoundError, match="'cnov' is not in the atlas"):
        views.layer("cnov")
    with pytest.raises(ArgumentError, match="counted from 0; got 6"):
        views.feature_map("conv", 6)
    with pytest.raises(ArgumentError, match="not among the 4 strongest"):
        views.photo("nobody.jpg")


def test_bars_are_as_high_as_maps_and_as_wide_as_there_are_maps():
    layers = [AtlasLayer(str(i), 10 * (i + 1), (32 >> i, 32 >> i), None, (3, 3), 8) for i in range(3)]
    of_input, *drawn = bars(layers, (64, 64))
    assert of_input.height == HIGH and [bar.height for bar in drawn] == [HIGH / 2, HIGH / 4, HIGH / 8]
    thin = of_input.width
    assert (drawn[2].width - thin) / (drawn[0].width - thin) == pytest.approx(3, abs=0.01)
    assert drawn[-1].x + drawn[-1].width <= WIDE
    for count in (1, 500):
        many = bars([LAYER] * count, (64, 64))
        assert all(a.x + a.width < b.x for a, b in pairwise(many))
        assert many[-1].x + many[-1].width <= WIDE + 0.1


def test_a_units_field_lies_where_the_unit_looks_and_is_cut_at_the_border():
    layer = AtlasLayer("a", 1, (4, 4), None, (32, 16), 8)
    assert field_frame(layer, (64, 64)) == Frame(SIDE * 24 / 64, SIDE / 4, SIDE / 4, SIDE / 2)
    corner = field_frame(layer, (64, 64), (0, 3))
    assert corner == Frame(SIDE * 48 / 64, 0, SIDE / 4, SIDE * 24 / 64)
    whole = AtlasLayer("fc", 1, (), None, (640, 640), 8)
    assert field_frame(whole, (64, 32), ()) == Frame(0, 0, SIDE / 2, SIDE)


def test_a_spread_reaches_from_zero_to_the_strongest_activation():
    stats = MapStats("a", 0, 9, 1.0, 8.0, 0.5, 1.0, 2.0, 4.0, 6.0, False)
    drawn = spread(stats, [8.0, 7.0])
    assert (drawn.low, drawn.high, drawn.q10, drawn.q99) == (0, 8, LONG / 8, LONG * 6 / 8)
    assert drawn.tops == (LONG, LONG * 7 / 8)
    below = spread(MapStats("a", 0, 9, 0.0, 0.0, 0.0, -2.0, -1.0, -1.0, 0.0, True), [])
    assert (below.low, below.q10, below.q50) == (-2, 0, LONG / 2)
    assert spread(MapStats("a", 0, 9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, True), []).q99 == 0


def test_a_site_is_written_without_torch(atlas, tmp_path):
    code = (
        "import sys; from deconvnet import Atlas, write_site; "
        f"write_site(Atlas.open({str(atlas.folder)!r}), {str(tmp_path / 'site')!r}); print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_photos_that_rank_anywhere_come_in_the_order_of_the_set(atlas):
    photos = {top.index: top.image for feature_map in atlas for top in feature_map.top}
    assert atlas.photos() == tuple(photos[index] for index in sorted(photos))


def test_what_pictures_rest_on_is_said_where_it_was_measured(views, tmp_path):
    assert views.layer("conv").trust == views.feature_map("conv", 0).trust == ()
    made = coloured_atlas(tmp_path / "atlas", {"conv": (1, (4, 4)), "fc": (4, ())}, PHOTOS, trust_samples=2)
    atlas = Atlas.open(made)
    numbers, meaning = AtlasViews(atlas).feature_map("fc", 2).trust
    assert numbers == f"What the pictures rest on: {atlas.trust('fc', 2).line()}." and "same picture" in meaning
    cosines = [each.trust.other_unit.median for each in atlas["fc"]]
    assert AtlasViews(atlas).layer_table("fc")["otherUnit"] == pytest.approx(cosines, abs=1e-4)
    assert AtlasViews(atlas).layer_table("conv")["otherUnit"] == [None]
    assert "otherUnit" not in views.layer_table("conv")
    single = AtlasViews(atlas).layer("conv").trust[0]  # a single map has no other unit
    assert single.startswith("What the pictures rest on: cosine with that of the same unit in another")
