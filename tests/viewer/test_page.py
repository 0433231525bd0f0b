"""The page in a real browser. All tests look at one page, each from its own address."""

import contextlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.detectors import NAMES, small_detector
from support.pages import Visit, data_of, layers_of, small, stack
from typer.main import get_command

from deconvnet import DeconvNet, LoadedModel, Report, load_model, report
from deconvnet.cli.commands import app

AXE = pytest.importorskip("axe_playwright_python.sync_playwright")
EXPECT = pytest.importorskip("playwright.sync_api").expect  # waits, without what the page's policy forbids


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """A page about two photos, one with a name that holds HTML, and classes that do as well."""
    folder = tmp_path_factory.mktemp("page")
    image = np.random.default_rng(3).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    Image.fromarray(image).resize((90, 60)).save(folder / "a <b> & '.png")
    net, loaded = small(stack())
    names = ("</script><script>alert(2)</script>", *loaded.labels[1:])
    tricky = LoadedModel(loaded.model, loaded.preprocess, names, "zfnet-mini")
    report(net, ["sample:chelsea", folder / "a <b> & '.png"], folder / "page.html", loaded=tricky, maps=6)
    return folder / "page.html"


@pytest.fixture(scope="module")
def data(file) -> dict:
    return data_of(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shared_visit(chromium, file) -> Iterator[Visit]:
    visit = Visit(chromium, file)
    yield visit
    visit.context.close()


@pytest.fixture
def visit(shared_visit) -> Iterator[Visit]:
    yield shared_visit
    shared_visit.check()


def drawn(page) -> str:
    return page.locator("#projection").get_attribute("src").partition(",")[2]


def title(page) -> str:
    return page.locator("#title").inner_text()


def test_a_visitor_clicks_from_class_to_layer_to_map_to_unit_and_goes_back(visit, data):
    photo = data["photos"][0]
    page = visit.open()
    assert drawn(page) == photo["classes"][0]["picture"]
    page.locator("#classes button").nth(2).click()
    assert drawn(page) == photo["classes"][2]["picture"]
    assert page.locator("#list").is_hidden() and page.locator("#patch-figure").is_hidden()
    page.get_by_role("button", name=re.compile("^relu3")).click()
    shown = layers_of(photo)["relu3"]["maps"]
    assert page.locator("#maps button").count() == len(shown)
    page.locator("#maps button").nth(1).click()
    y, x = shown[1]["cells"][0]["position"]
    assert title(page) == f"relu3, map {shown[1]['channel']} at {y},{x}"
    page.locator("#maps button").nth(0).click()
    cell, frame = shown[0]["cells"][1], page.locator("#map").bounding_box()
    y, x = ((index + 0.5) / 8 for index in cell["position"])
    page.locator("#map").click(position={"x": x * frame["width"], "y": y * frame["height"]})
    assert drawn(page) == cell["picture"]
    for picture in (shown[0]["cells"][0], shown[1]["cells"][0], shown[0]["cells"][0], photo["classes"][2]):
        page.go_back()
        EXPECT(page.locator("#projection")).to_have_attribute("src", re.compile(re.escape(picture["picture"]) + "$"))
    page.go_forward()
    EXPECT(page.locator("#title")).to_have_text(re.compile("^relu3"))


def test_a_map_is_kept_when_the_photo_changes_and_what_is_missing_is_said(visit, data):
    first, second = (layers_of(photo)["relu2"]["maps"] for photo in data["photos"])
    channel = first[0]["channel"]
    page = visit.open(f"#0/relu2/{channel}")
    page.locator("#photos button").nth(1).click()
    assert title(page).startswith(f"relu2, map {channel} at") and page.locator("#missing").is_hidden()
    page = visit.open("#1/relu2/999/0/0")
    assert f"map {second[0]['channel']} at" in title(page)
    assert "map 999 of relu2 is not among those shown" in page.locator("#missing").inner_text()


def test_a_click_on_the_photo_lists_the_units_that_see_the_position_strongest_first(visit, data):
    page = visit.open("#0/relu2")
    frame = page.locator("#stage").bounding_box()
    page.locator("#stage").click(position={"x": frame["width"] * 20.5 / 32, "y": frame["height"] * 12.5 / 32})
    assert page.locator("#seeing-title").inner_text() == "Units that see row 12, column 20"

    def sees(cell):
        top, left, bottom, right = cell["box"]
        return top <= 12 < bottom and left <= 20 < right

    layers = layers_of(data["photos"][0])
    cells = [cell for shown in layers["relu2"]["maps"] for cell in shown["cells"] if sees(cell)]
    strongest = max(cells, key=lambda cell: cell["activation"])
    first = page.locator("#seeing-units button").first
    assert page.locator("#seeing-units h4").all_inner_texts()[0] == "relu2"
    assert first.locator("img").get_attribute("src").endswith(strongest["picture"])
    first.click()
    assert drawn(page) == strongest["picture"]
    page.locator("#seeing-close").click()
    assert page.locator("#seeing").is_hidden()


def test_a_class_leads_to_the_units_that_it_rests_on(visit, data):
    photo = data["photos"][0]
    page = visit.open()
    assert page.locator("#rests-on h4").all_inner_texts() == ["relu3", "relu2", "relu1"]
    unit = next(unit for unit in photo["classes"][0]["responsible"] if unit["layer"] == 2)
    page.locator("#rests-on button").first.click()
    assert title(page) == f"relu3, map {unit['channel']} at {','.join(map(str, unit['position']))}"
    assert page.locator("#rests").is_hidden()


def test_the_box_lies_where_the_unit_looks_and_the_slider_lays_the_projection_over_it(visit, data):
    (top, left, bottom, right) = layers_of(data["photos"][0])["relu2"]["maps"][0]["cells"][0]["box"]
    page = visit.open("#0/relu2")
    stage, box = page.locator("#photo").bounding_box(), page.locator("#box").bounding_box()
    scale = stage["width"] / 32
    expected = {"x": stage["x"] + left * scale, "y": stage["y"] + top * scale,
                "width": (right - left) * scale, "height": (bottom - top) * scale}  # fmt: skip
    assert box == pytest.approx(expected, abs=1.5)
    opacity = "getComputedStyle(document.getElementById('laid')).opacity"
    assert page.evaluate(opacity) == "0"
    page.locator("#lay").fill("60")
    assert page.evaluate(opacity) == "0.6" and page.locator("#laid").bounding_box() == pytest.approx(box, abs=1)
    EXPECT(page.locator("#laid")).not_to_have_js_property("naturalWidth", 0)
    alphas = page.evaluate(
        """() => { const laid = document.getElementById("laid"), canvas = document.createElement("canvas");
        canvas.width = laid.naturalWidth; canvas.height = laid.naturalHeight;
        const pen = canvas.getContext("2d"); pen.drawImage(laid, 0, 0);
        return [...pen.getImageData(0, 0, canvas.width, canvas.height).data].filter((_, i) => i % 4 === 3); }"""
    )
    assert max(alphas) == 255  # where the signal is strong; what is grey is transparent


def test_a_step_is_enlarged_with_the_signal_before_and_after_and_its_switches(visit):
    page = visit.open("#0/relu3")
    names = page.locator("#steps .step > b").all_inner_texts()
    assert [name.replace("\u200b", "") for name in names] == [
        "relu3", "conv3", "pool2", "relu2", "conv2", "pool1", "relu1", "conv1", "the pixels"
    ]  # fmt: skip
    operations = page.locator("#steps .operation").all_inner_texts()
    assert operations == ["Start", *["Rectify", "Filter", "Unpool"] * 2, "Rectify", "Filter"]
    page.locator("#steps button").nth(2).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#step-title").inner_text() == "4 of 9. Unpool: relu2"
    assert "goes back to where its window's maximum was" in page.locator("#step-words").inner_text()
    captions = page.locator("#step-pictures figcaption").all_inner_texts()
    assert captions[:2] == ["before: the signal on pool2", "after: the signal on relu2"]
    assert "How well unpooling undoes pool2" in page.locator("#step-lines").inner_text()
    assert captions[2].startswith("switches of map") and page.locator("#step-pictures line").count() > 0
    tiles = page.locator("#step-pictures .tile")
    assert tiles.first.bounding_box()["width"] > 1.8 * page.locator("#steps .tile").first.bounding_box()["width"]
    page.keyboard.press("ArrowRight")
    assert page.locator("#step-title").inner_text() == "5 of 9. Rectify: conv2"
    page.keyboard.press("Escape")
    assert page.locator("#step").is_hidden()
    # A dialog is hidden first and says so afterwards: the focus follows.
    EXPECT(page.locator("#steps button").nth(4)).to_be_focused()


def test_all_can_be_done_from_the_keyboard(visit, data):
    photo = data["photos"][0]
    page = visit.open()
    for _ in range(2):  # the photos, the classes
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert drawn(page) == photo["classes"][1]["picture"]
    page.keyboard.press("End")
    assert drawn(page) == photo["classes"][4]["picture"]
    page.keyboard.press("Tab")  # the layers
    page.keyboard.press("Enter")
    assert title(page).startswith("relu1, map")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert title(page).startswith("relu3, map")
    page.keyboard.press("Tab")  # the maps
    page.keyboard.press("ArrowRight")
    assert drawn(page) == layers_of(photo)["relu3"]["maps"][1]["cells"][0]["picture"]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")  # the photo
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#seeing-title").inner_text() == "Units that see row 16, column 17"
    page.keyboard.press("Tab")  # the slider
    page.keyboard.press("ArrowRight")
    assert page.locator("#lay").input_value() == "1"
    page.keyboard.press("Tab")  # the map
    before, moved = title(page), set()
    for key in ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
        moved.add(title(page))
    assert moved - {before} and page.evaluate("document.activeElement.id") == "map"
    page.go_back()  # a walk by arrow keys is one entry
    EXPECT(page.locator("#title")).to_have_text(before)


def test_what_it_says_to_run_can_be_run(visit, file):
    page = visit.open("#1/relu3")
    assert page.locator("#photo-name").inner_text() == "a <b> & '.png"
    assert page.evaluate("document.scripts.length") == 2
    _, name, *arguments = shlex.split(page.locator("#command").inner_text())
    get_command(app).commands[name].make_context(name, list(arguments))
    unit = re.fullmatch(r"relu3, map (\d+) at (\d+,\d+)", title(page))
    photo = str(file.parent / "a <b> & '.png")
    assert arguments == [photo, "--layer", "relu3", "--channel", unit[1], "--position", unit[2]]
    call = f'net.project(x, "relu3", channel={unit[1]}, position=({unit[2].replace(",", ", ")}))'
    assert page.locator("#python").inner_text().endswith(call)


def test_an_address_brings_back_what_was_shown(visit):
    page = visit.open()
    page.locator("#photos button").nth(1).click()
    page.get_by_role("button", name=re.compile("^relu2")).click()
    page.locator("#maps button").nth(3).click()
    shown, address = title(page), page.url.partition("#")[2]
    assert title(visit.open("#" + address)) == shown
    first = title(visit.open())
    for address in ("#7/nothing/of/this", "#0/%E0%A4%A", "#0/relu9/3", "#x"):
        assert title(visit.open(address)) == first


@pytest.mark.parametrize("address", ["#0/class/1", "#0/relu3"])
def test_every_picture_is_there_when_the_page_is_printed(visit, address, data, tmp_path):
    page = visit.open(address, scheme="dark")
    page.emulate_media(media="print")
    pictures = page.locator("img:visible")
    assert pictures.count() > 12
    for source in pictures.evaluate_all("all => all.map((one) => [one.src.slice(0, 10), one.naturalWidth])"):
        assert source[0] == "data:image" and source[1] > 0
    page.emulate_media(media="null")
    printed = page.pdf(format="A4")
    assert printed.count(b"/Subtype /Image") >= 4  # equal ones are stored once


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs poppler")
def test_in_print_no_heading_stands_alone_at_the_foot_of_a_page(visit, tmp_path):
    page = visit.open("#0/class/0")
    page.emulate_media(media="print")
    above = page.locator("h3:visible").evaluate_all(
        "all => all.flatMap((one) => [one, one.nextElementSibling]).filter((one) => one.matches('h3, p'))"
        ".map((one) => one.innerText)"
    )
    assert "Its steps" in above
    for height in range(0, 700, 120):
        page.evaluate(f"document.querySelector('header').style.paddingBottom = '{height}px'")
        page.pdf(path=tmp_path / "page.pdf", format="A4")
        printed = subprocess.check_output(["pdftotext", tmp_path / "page.pdf", "-"], text=True).split("\f")
        assert not [text for text in printed if " ".join(text.split()).endswith(tuple(above))]
    page.emulate_media(media="null")


@pytest.mark.parametrize("width", [320, 800, 1400])
def test_all_cards_of_the_steps_are_of_one_height_and_there_is_no_room_below_them(visit, width):
    page = visit.open("#0/relu3", width=width)
    box = page.locator("#steps").bounding_box()
    cards = [card.bounding_box() for card in page.locator("#steps .step").all()]
    assert {round(card["height"]) for card in cards} == {round(cards[0]["height"])}
    assert box["y"] + box["height"] - cards[0]["y"] - cards[0]["height"] < 26  # a scroll bar
    tile = page.locator("#steps .tile").first.bounding_box()
    assert cards[0]["height"] < 4 * tile["height"]
    switches = page.locator("#steps .switches").first.bounding_box()
    assert switches["width"] == pytest.approx(tile["width"], abs=1)


def test_pictures_grow_with_the_window_and_fit_a_phone(visit):
    widths = {}
    for width in (320, 1280, 2560):
        page = visit.open("#0/relu3", width=width, height=1440)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        widths[width] = [page.locator(name).bounding_box()["width"] for name in ("#stage", "#projection", "#map")]
        assert page.get_by_text("Grey is zero").is_visible()
    assert widths[1280][0] > 250 and widths[2560][0] > 2 * widths[1280][0] and widths[2560][1] > 380
    assert widths[320][0] > 280 and widths[320][1] > 130


def test_on_a_phone_what_was_tapped_comes_into_view(visit):
    page = visit.open(width=375, height=740)
    page.get_by_role("button", name=re.compile("^relu3")).click()
    assert page.locator("#stage").bounding_box()["y"] < 600 and page.locator("#maps").bounding_box()["y"] > 0
    page.locator("#maps button").nth(1).click()
    assert page.locator("#stage").bounding_box()["y"] < 600


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (900, "dark"), (320, "light")])
def test_it_is_accessible(visit, width, scheme):
    page = visit.open("#0/relu3", width=width, scheme=scheme)
    page.locator("#stage").click()
    found = AXE.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.locator("#classes button").first.click()
    page.locator("#steps button").nth(1).click()
    found = AXE.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_without_javascript_the_likeliest_class_is_shown(chromium, file, data):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert "The likeliest class is" in page.locator("noscript p").first.inner_text()
    sources = page.locator("noscript img").evaluate_all("all => all.map((one) => one.src.split(',')[1])")
    assert sources == [data["photos"][0]["image"], data["photos"][0]["classes"][0]["picture"]]
    assert page.locator("main").is_hidden()
    context.close()


def test_photos_of_one_name_are_numbered_and_odd_names_can_be_run(chromium, tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("x.png", "a/x.png", "-l.png", "cat \U0001f431.png"):
        Image.new("RGB", (64, 64), "teal").save(tmp_path / name)
    photos = [tmp_path / "x.png", tmp_path / "a/x.png", tmp_path / "-l.png", tmp_path / "cat \U0001f431.png",
              np.zeros((30, 40, 3), np.uint8) + 99]  # fmt: skip
    net, loaded = small(stack())
    named = LoadedModel(loaded.model, loaded.preprocess, loaded.labels, "zfnet-mini")
    with contextlib.chdir(tmp_path):
        report(net, photos, tmp_path / "page.html", loaded=named, layers=["relu1"], maps=1)
    visit = Visit(chromium, tmp_path / "page.html")
    page = visit.open()
    lines, commands = [], []
    assert page.locator("#photos button").all_inner_texts()[:2] == ["x.png (1)", "x.png (2)"]
    for i in range(5):
        page.locator("#photos button").nth(i).click()
        lines.append(page.locator("#python").inner_text())
        commands.append(page.locator("#command").inner_text() if page.locator("#command").is_visible() else None)
    visit.check()
    visit.context.close()
    assert shlex.split(commands[2])[2] == "./-l.png" and commands[4] is None
    assert "# photo: your image" in lines[4] and "images(photo)" in lines[4]
    with contextlib.chdir(tmp_path):
        for run in lines[:4]:
            name = eval(re.search(r"images\((.*?)\)\.to", run)[1])
            assert loaded.preprocess.images(name).shape == (1, 3, 32, 32)


def test_an_answer_of_a_detector_is_framed_in_the_photo_and_its_command_names_it(chromium, tmp_path):
    made = load_model(small_detector("SSD"), labels=NAMES)
    loaded = LoadedModel(made.model, made.preprocess, made.labels, "net.py:detector")
    net = DeconvNet(loaded.model, loaded.example_input, smooth="gradient", labels=loaded.labels)
    text = report(net, ["sample:chelsea"], tmp_path / "page.html", loaded=loaded, maps=2).html
    first = data_of(text)["photos"][0]["classes"][0]
    answer = loaded.labels.at(first["index"])
    visit = Visit(chromium, tmp_path / "page.html")
    page = visit.open()
    assert title(page) == first["label"] and "class" not in page.locator("#subtitle").inner_text()
    assert f"--target {first['target']} " in page.locator("#command").inner_text()
    assert "labels=loaded.labels" in page.locator("#python").inner_text()
    assert first["outline"] == [*answer.cell.low, *answer.cell.high]
    assert page.locator("#outline").is_visible() and page.locator("#outline-words").is_visible()
    page.locator("#layers button").first.click()
    assert page.locator("#outline").is_hidden() and page.locator("#outline-words").is_hidden()
    visit.check()
    visit.context.close()


def test_it_works_in_a_cell_of_a_notebook(chromium, file, tmp_path):
    cell = tmp_path / "cell.html"
    cell.write_text(f"<!doctype html><title>notebook</title>{Report(file.read_text(), None)._repr_html_()}")
    page = chromium.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.goto(cell.as_uri())
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name=re.compile("^relu3")).click()
    assert frame.locator("#title").inner_text().startswith("relu3, map")
    assert not faults
    page.close()
