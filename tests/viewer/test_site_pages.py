"""The site of an atlas in a real browser, opened from the disk."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.coloured_atlas import colour, coloured_atlas
from support.pages import Visit

from deconvnet import Atlas, write_site

AXE = pytest.importorskip("axe_playwright_python.sync_playwright")
EXPECT = pytest.importorskip("playwright.sync_api").expect  # waits, without what the pages' policy forbids

SCRIPT = '<img src=x onerror="alert(1)">'
LAYERS = {"conv1": (9, (16, 16)), SCRIPT: (2, (8, 8)), "../many": (245, (4, 4)), "fc": (5, ())}
PHOTOS = [f"{SCRIPT} {i}.jpg" for i in range(3)] + [f"n0{i}_great_white_shark.jpg" for i in range(20)] + ["A/é 猫.jpg"]
DEAD = (0, 4)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> Atlas:
    folder = tmp_path_factory.mktemp("pages") / "atlas"
    return Atlas.open(coloured_atlas(folder, LAYERS, PHOTOS, dead=(DEAD,), trust_samples=3))


@pytest.fixture(scope="module")
def shared_visit(chromium, atlas, tmp_path_factory) -> Iterator[Visit]:
    site = write_site(atlas, tmp_path_factory.mktemp("pages") / "a site's folder")
    visit = Visit(chromium, site.folder, ready="main h1")
    yield visit
    visit.context.close()


@pytest.fixture
def visit(shared_visit) -> Iterator[Visit]:
    yield shared_visit
    shared_visit.check()


def names(page: Any) -> list[str]:
    return [text.replace("\u200b", "") for text in page.locator("#grid a > span:nth-child(2)").all_inner_texts()]


def colours(page: Any, tiles: Any) -> np.ndarray:
    """The middle of each tile, as it is seen."""
    tiles.first.scroll_into_view_if_needed()
    found = []
    for tile in tiles.all():
        EXPECT(tile.locator("img")).to_have_js_property("complete", True)
        image = Image.open(io.BytesIO(tile.screenshot()))
        found.append(image.convert("RGB").getpixel((image.width // 2, image.height // 2)))
    return np.array(found)


def test_a_visitor_walks_from_the_network_to_a_layer_a_map_and_a_photo_and_back(visit, atlas):
    page = visit.open("/index.html")
    EXPECT(page.locator("h1")).to_have_text("What the feature maps of net <b> look for")
    page.locator(".layers a", has_text=re.compile("^conv1$")).click()
    EXPECT(page.locator("h1")).to_have_text("Layer conv1")
    page.locator("#grid a").nth(1).click()
    channel = sorted(atlas.stats("conv1"), key=lambda each: -each.max)[1].channel
    EXPECT(page.locator("h1")).to_have_text(f"conv1, map {channel}")
    photo = atlas.top("conv1", channel)[2].image
    page.locator(".tops a").nth(2).click()
    EXPECT(page.locator("h1")).to_have_text(f"Photo {photo}")
    assert page.locator("#kind").input_value() == "both"
    units = [(top.rank, top.layer, top.channel) for top in atlas.find(image=photo)]
    leading = page.locator("#grid a").first
    assert page.locator("#grid a").count() == len(units) and "rank 1" in leading.inner_text()
    page.go_back()
    page.go_back()
    EXPECT(page.locator("h1")).to_have_text("Layer conv1")


def test_maps_and_layers_say_what_their_pictures_rest_on_and_what_that_means(visit, atlas):
    for address, trust in (("maps/conv1/0", atlas.trust("conv1", 0)), ("layers/conv1", atlas.trust("conv1"))):
        numbers, meaning = visit.open(f"/{address}.html").locator(".rests-on p").all_inner_texts()
        assert numbers == f"What the pictures rest on: {trust.line()}."
        assert f"{trust.other_unit.median:.2f} (median over {trust.other_unit.count} pictures; " in numbers
        assert meaning.startswith("1 is the same picture, about 0 an unrelated one.")
    layer, channel = list(LAYERS)[DEAD[0]], DEAD[1]
    assert visit.open(f"/maps/{layer}/{channel}.html").locator(".rests-on").count() == 0


def test_maps_are_sorted_by_how_unlike_other_units_their_pictures_are_where_that_was_measured(visit, atlas):
    page = visit.open("/layers/conv1.html")
    page.locator("#sort").select_option(label="unlike other units")
    medians = {each.channel: each.trust.other_unit.median for each in atlas["conv1"] if each.trust}
    ordered = sorted(medians, key=lambda channel: medians[channel])
    assert names(page) == [f"map {channel}" for channel in (*ordered, DEAD[1])]
    words = page.locator("#grid small").all_inner_texts()
    assert words == [*(f"other unit {medians[channel]:.2f}" for channel in ordered), "dead"]


def test_every_tile_shows_its_own_picture_of_the_strip(visit, atlas):
    page = visit.open("/maps/conv1/3.html")
    for kind, block in (("signal", 0), ("patch", 1)):
        expected = [colour(0, 3, rank, kind) for rank in range(4)]
        drawn = colours(page, page.locator(".block").nth(block).locator(".tile"))
        assert np.abs(drawn - expected).max() < 16
    expected = [colour(0, 3, rank, "patch") for rank in range(4)]
    assert np.abs(colours(page, page.locator(".tops li .tile:nth-child(3)")) - expected).max() < 16


def test_maps_are_sorted_by_activation_activity_and_index_and_dead_ones_come_last(visit, atlas):
    page, stats = visit.open("/layers/conv1.html"), atlas.stats("conv1")
    orders = {
        "activation": lambda each: -each.max,
        "activity": lambda each: -each.active,
        "index": lambda each: each.channel,
    }
    for label, key in orders.items():
        page.locator("#sort").select_option(label=label)
        ordered = [each.channel for each in sorted(stats, key=key) if not each.dead]
        EXPECT(page.locator("#grid a").first).to_have_attribute("href", re.compile(f"(^|/){ordered[0]}[.]html$"))
        assert names(page) == [f"map {channel}" for channel in [*ordered, DEAD[1]]]
    assert page.locator("#grid a").last.locator(".dead").is_visible()
    page.locator("#kind").select_option("both")
    expected = [colour(0, 0, 0, kind) for kind in ("signal", "patch")]
    assert np.abs(colours(page, page.locator("#grid a").first.locator(".tile")) - expected).max() < 16
    assert page.url.endswith("#index/1/both")
    page.go_back()
    EXPECT(page.locator("#kind")).to_have_value("signal")
    visit.open("/layers/conv1.html#active/1/patch")
    assert page.locator("#sort").input_value() == "active" and page.locator("#kind").input_value() == "patch"
    visit.open("/layers/conv1.html#nonsense/99/x")
    assert page.locator("#grid a").count() == 9


def test_a_large_layer_is_split_into_pages_and_loads_only_what_is_near_the_view(visit, atlas):
    visit.asked.clear()
    page = visit.open("/layers/=2e.=2fmany.html#index", height=500)
    EXPECT(page.locator("#grid img").first).to_have_js_property("complete", True)
    strips = [url for url in visit.asked if url.endswith(".webp")]
    assert page.locator("#grid a").count() == 240 and 0 < len(strips) < 240
    page.locator("#turns a").last.click()
    EXPECT(page.locator("#grid a")).to_have_count(5)
    assert names(page)[0] == "map 240" and page.locator("#grid-words").inner_text() == "241 to 245 of 245"
    page.locator("#grid a").first.focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.href").endswith("/239.html")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.href").endswith("/240.html")


def test_all_can_be_reached_from_the_keyboard(visit):
    page = visit.open("/index.html")
    page.keyboard.press("/")
    page.keyboard.type("conv1")
    page.wait_for_selector("#results a")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#grid a")
    for _ in range(8):  # the path (two), the search, the layer behind, how to sort, what to show, the size, the grid
        page.keyboard.press("Tab")
    page.wait_for_selector("#grid a")
    assert page.evaluate("document.activeElement.closest('#grid') !== null")
    first = page.evaluate("document.activeElement.href")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.href") == first
    page.keyboard.press("Enter")
    page.wait_for_selector(".block")
    title, forward = page.locator("h1").inner_text(), "ArrowRight" if page.locator("#after").count() else "ArrowLeft"
    page.keyboard.press(forward)
    EXPECT(page.locator("h1")).not_to_have_text(title)
    page.keyboard.press("Escape")
    EXPECT(page.locator("h1")).to_have_text("Layer conv1")


def test_layers_maps_and_photos_are_searched_by_all_words(visit):
    page = visit.open("/maps/conv1/3.html")

    def results(text: str) -> list[str]:
        page.locator("#query").fill(text)
        EXPECT(page.locator("#results")).to_have_attribute("data-query", text)
        return page.locator("#results a").all_inner_texts()

    assert results("MANY")[0] == "../many"
    assert results("many 240") == ["../many, map 240"]
    assert results("fc/4") == ["fc, unit 4"]
    assert results("white n07") == ["n07_great_white_shark.jpg"]
    assert results("onerror") == [SCRIPT, *(f"{SCRIPT} {i}.jpg" for i in range(3))]
    assert results("nothing of this") == [] and page.locator("#result-count").inner_text() == "0 results"
    assert results("猫") == ["A/é 猫.jpg"]
    page.keyboard.press("Enter")
    EXPECT(page.locator("h1")).to_have_text("Photo A/é 猫.jpg")


def test_a_picture_is_marked_in_both_blocks_and_a_click_leads_to_what_is_said_of_it(visit):
    page = visit.open("/maps/conv1/3.html")
    page.locator(".block a").nth(2).hover()
    assert page.locator(".marked").count() == 2
    page.locator(".block a").nth(2).click()
    assert page.evaluate("document.querySelector(':target').id") == "rank-3"


ADDRESSES = ["/index.html", "/layers/conv1.html", "/maps/conv1/3.html", "/maps/conv1/4.html"]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_every_kind_of_page_is_accessible_and_fits(visit, atlas, width, scheme):
    photo = visit.file.joinpath("photos").glob("*.html")
    for address in [*ADDRESSES, f"/photos/{next(iter(sorted(photo))).name}"]:
        page = visit.open(address, width=width, scheme=scheme)
        if address == ADDRESSES[0]:
            page.locator("#query").fill("shark")
            page.wait_for_selector("#results a")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        if scheme == "dark" and address not in (ADDRESSES[0], ADDRESSES[2]):  # whose colours are all there are
            continue
        faults = AXE.Axe().run(page, options={"preload": False})  # of styles, which the policy of the page refuses
        assert faults.violations_count == 0, faults.generate_report()


def test_without_javascript_the_network_and_the_maps_are_there(chromium, visit):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{visit.file.as_uri()}/layers/conv1.html")
    page.locator("noscript a").click()
    assert page.locator("h1").inner_text() == "conv1, map 0" and page.locator(".block .tile").count() == 8
    page.locator("#after").click()
    EXPECT(page.locator("h1")).to_have_text("conv1, map 1")
    context.close()


def test_it_can_be_served_as_well(chromium, visit):
    """The policy of the pages allows what they load from a host, too."""
    files: dict[str, Path] = {}

    def serve(route: Any) -> None:
        path = visit.file / route.request.url.removeprefix("https://atlas.example/sub/")
        files[path.name] = path
        route.fulfill(path=path)

    context = chromium.new_context()
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.route("https://atlas.example/sub/**", serve)
    page.goto("https://atlas.example/sub/layers/conv1.html")
    page.wait_for_selector("#grid a")
    page.locator("#query").fill("fc")
    page.wait_for_selector("#results a")
    assert {"conv1.js", "search.js", "tiles.css"} <= set(files) and not faults
    context.close()
