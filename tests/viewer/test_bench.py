"""The bench in a real browser, with a server behind it: each thing that a visitor can do, once."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.benches import bench_of_many, png, running, small_bench
from support.pages import Visit

expect = pytest.importorskip("playwright.sync_api").expect
AXE = pytest.importorskip("axe_playwright_python.sync_playwright")

pytestmark = pytest.mark.filterwarnings("ignore::deconvnet.DeconvNetWarning")  # pages say it in their notes


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(small_bench()) as each:
        yield each


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    paths = [tmp_path_factory.mktemp("photos") / name for name in ("cat.png", "<img src=x onerror=alert(1)>.png")]
    for seed, path in enumerate(paths):
        path.write_bytes(png(seed))
    return paths


class BenchVisit(Visit):
    """A bench as a visitor opens it; only its own server may be asked for anything."""

    def __init__(self, chromium: Any, address: str, **options: Any) -> None:
        super().__init__(chromium, address, ready="#samples button", **options)
        self.page.route(lambda url: not url.startswith((address, "data:", "blob:")), lambda route: route.abort())

    def bring(self, *files: Path) -> None:
        """Choose photos, and wait until the last is shown with all that belongs to it."""
        self.page.locator("#files").set_input_files(files)
        self.wait(f"document.getElementById('photo-name').textContent === {files[-1].name!r}")

    def wait(self, condition: str = "true") -> None:
        """Wait for a condition, and until nothing is being computed."""
        for _ in range(600):  # the page's policy forbids what wait_for_function does
            if self.page.evaluate(f"({condition}) && document.getElementById('doing').textContent === ''"):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"never: {condition}")


@contextmanager
def visiting(chromium: Any, address: str, photo: Path) -> Iterator[BenchVisit]:
    each = BenchVisit(chromium, address)
    each.open()
    each.bring(photo)
    yield each
    each.check()
    each.context.close()


@pytest.fixture
def visit(chromium, address, photos) -> Iterator[BenchVisit]:
    with visiting(chromium, address, photos[0]) as each:
        yield each


def title(page: Any) -> str:
    return page.locator("#title").inner_text()


def drawn(page: Any) -> str:
    return page.locator("#projection").get_attribute("src")


def test_a_photo_that_is_chosen_is_shown_with_its_classes_and_what_they_rest_on(visit, photos):
    page = visit.page
    assert page.locator("#classes button").count() == 5 and "%" in page.locator("#classes").inner_text()
    page.wait_for_selector("#rests-on button")
    assert page.locator("#rests-on h4").all_inner_texts() == ["relu3", "relu2", "relu1"]
    assert page.locator("#steps .step").count() > 5
    assert "correlation with edges" in page.locator("#trust").inner_text()
    first = drawn(page)
    page.locator("#classes button").nth(2).click()
    visit.wait(f"document.getElementById('projection').src !== {first!r}")
    page.wait_for_selector("#rests-on button")
    page.locator("#rests-on button").first.click()
    visit.wait("document.getElementById('title').textContent.startsWith('relu3, map')")
    visit.bring(photos[1])  # its name holds HTML
    assert title(page).startswith("relu3, map")  # a map is followed from photo to photo


def test_any_unit_of_any_map_is_carried_down(visit):
    page = visit.page
    page.get_by_role("button", name=re.compile("^relu2")).click()
    visit.wait("document.getElementById('title').textContent.startsWith('relu2')")
    assert page.locator("#maps button").count() == 16
    page.locator("#maps button").nth(3).click()
    frame = page.locator("#map").bounding_box()
    page.locator("#map").click(position={"x": frame["width"] * 2.5 / 16, "y": frame["height"] * 9.5 / 16})
    visit.wait("document.getElementById('title').textContent.endsWith('at 9,2')")
    assert page.locator("#patch-figure").is_visible()
    page.locator("#map").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):  # faster than pictures come
        page.keyboard.press(key)
    visit.wait("document.getElementById('title').textContent.endsWith('at 11,3')")
    assert "position=(11, 3))" in page.locator("#python").inner_text()
    assert "--position 11,3" in page.locator("#command").inner_text()
    page.go_back()
    visit.wait("!document.getElementById('title').textContent.endsWith('at 11,3')")


def test_another_rule_set_draws_anew_and_two_pictures_stand_side_by_side(visit):
    page, before = visit.page, drawn(visit.page)
    page.locator("#keep").click()
    page.get_by_role("button", name="guided").click()
    visit.wait(f"document.getElementById('projection').src !== {before!r}")
    captions = page.locator("#compared figcaption").all_inner_texts()
    assert captions[0].endswith("rules deconvnet") and captions[1].endswith("rules guided")
    sides = page.locator("#compared img").evaluate_all("all => all.map((each) => each.src)")
    assert sides == [before, drawn(page)]
    assert "rules='guided'" in page.locator("#python").inner_text()
    page.locator("#compare-close").click()
    assert page.locator("#compare").is_hidden()


def test_a_part_is_hidden_with_a_brush_and_the_classes_say_what_changes(visit):
    page = visit.page
    page.locator("#hide").click()
    frame = page.locator("#brush").bounding_box()
    page.mouse.move(frame["x"] + 0.3 * frame["width"], frame["y"] + 0.4 * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.7 * frame["width"], frame["y"] + 0.5 * frame["height"], steps=6)
    page.mouse.up()
    assert page.locator("#seeing").is_hidden()  # the photo below was not clicked
    page.locator("#brush-done").click()
    page.wait_for_selector("#changes tbody tr")
    assert page.locator("#changes tbody tr").count() >= 5 and "hidden" in page.locator("#changes-title").inner_text()
    page.locator("#changes-look").click()
    visit.wait("document.getElementById('photo-name').textContent.includes('hidden')")
    lines = page.locator("#python").inner_text()
    assert "for row, column, radius in [(" in lines and page.locator("#command-box").is_hidden()


def test_the_same_part_is_marked_in_two_photos_and_tested(visit, photos):
    page = visit.page
    page.locator("#mark").click()
    frame = page.locator("#marker").bounding_box()
    page.mouse.move(frame["x"] + 0.25 * frame["width"], frame["y"] + 0.25 * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.5 * frame["width"], frame["y"] + 0.75 * frame["height"], steps=4)
    page.mouse.up()
    assert page.locator("#marked li").all_inner_texts() == ["cat.png: rows 8 to 24, columns 8 to 16 remove"]
    assert page.locator("#marks-test").is_disabled()
    visit.bring(photos[1])
    page.locator("#marker").focus()
    for key in ("ArrowRight", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.locator("#marks-test").click()
    page.wait_for_selector("#marks-result tbody tr")
    assert "relu3" in page.locator("#marks-result").inner_text()
    page.locator("#marked button").first.click()
    assert page.locator("#marked li").count() == 1


def test_steps_play_pause_and_go_on_by_hand(visit):
    page = visit.page
    page.clock.install()
    page.locator("#steps button").first.click()
    page.locator("#step-play").click()
    for _ in range(20):  # the clock also runs by itself
        page.clock.run_for(500)
        if int(page.locator("#step-title").inner_text().split()[0]) >= 3:
            break
    page.locator("#step-play").click()
    paused = page.locator("#step-title").inner_text()
    index = int(paused.split()[0])
    assert index >= 3
    page.clock.run_for(5000)
    assert page.locator("#step-title").inner_text() == paused
    page.locator("#step-back").click()
    assert page.locator("#step-title").inner_text().startswith(f"{index - 1} of")
    page.locator("#step-on").click()
    assert page.locator("#step-title").inner_text() == paused
    page.locator("#step-play").click()
    page.keyboard.press("Escape")
    page.locator("#step").wait_for(state="hidden")
    page.clock.run_for(5000)
    assert page.locator("#step").is_hidden()


def test_a_click_on_the_photo_gives_the_units_that_see_the_position(visit):
    page = visit.page
    page.locator("#stage").click()
    page.wait_for_selector("#seeing-units button")
    page.locator("#seeing-units button").first.click()
    visit.wait("/^relu\\d, map/.test(document.getElementById('title').textContent)")


def test_photos_are_dropped_and_pasted_and_what_is_not_a_photo_is_said(visit):
    page = visit.page
    data = list(png(9))
    for event, name in (("drop", "dropped.png"), ("paste", "pasted.png")):
        page.evaluate(
            """([type, name, data]) => {
                const files = new DataTransfer();
                files.items.add(new File([new Uint8Array(data)], name, { type: "image/png" }));
                const given = type === "drop" ? { dataTransfer: files } : { clipboardData: files };
                const event = type === "drop" ? new DragEvent(type, { ...given, bubbles: true, cancelable: true })
                    : new ClipboardEvent(type, { ...given, bubbles: true });
                document.body.dispatchEvent(event);
            }""",
            [event, name, data],
        )
        visit.wait(f"document.getElementById('photo-name').textContent === {name!r}")
    page.locator("#files").set_input_files([{"name": "a.txt", "mimeType": "text/plain", "buffer": b"no photo"}])
    page.wait_for_selector("#fault:not([hidden])")
    assert "is not an image that Pillow knows" in page.locator("#fault").inner_text()
    visit.faults = [fault for fault in visit.faults if "400 (Bad Request)" not in fault]  # the browser's own line


def test_a_picture_is_saved_as_a_file(visit):
    with visit.page.expect_download() as saved:
        visit.page.locator("#save").click()
    with Image.open(saved.value.path()) as picture:
        assert picture.format == "PNG" and picture.size == (32, 32)
    assert saved.value.suggested_filename.startswith("cat.png_")


def test_a_page_that_is_loaded_anew_has_its_photos_and_shows_the_same(visit, photos):
    page = visit.page
    visit.bring(photos[1])
    page.get_by_role("button", name=re.compile("^relu3")).click()
    visit.wait("document.getElementById('title').textContent.startsWith('relu3')")
    shown = title(page)
    page.reload()
    visit.wait(f"document.getElementById('title').textContent === {shown!r}")
    assert page.locator("#photos button").all_inner_texts() == [photo.name for photo in photos]


def test_a_photo_that_the_bench_let_go_is_sent_again(visit, monkeypatch):
    page = visit.page
    page.evaluate("sessionStorage.clear()")
    page.route("**/ask/layer", lambda route: route.fulfill(
        status=404, content_type="application/json", body='{"error": "gone", "gone": true}'), times=1)  # fmt: skip
    page.get_by_role("button", name=re.compile("^relu1")).click()
    visit.wait("document.getElementById('title').textContent.startsWith('relu1')")
    visit.faults = [fault for fault in visit.faults if "404 (Not Found)" not in fault]


def test_all_can_be_done_from_the_keyboard(visit):
    page = visit.page
    page.locator("#rules button").first.focus()
    page.keyboard.press("ArrowRight")
    visit.wait("document.getElementById('python').textContent.includes('guided')")
    page.keyboard.press("Tab")  # the classes
    page.keyboard.press("ArrowDown")
    visit.wait("document.querySelectorAll('#classes button')[1].getAttribute('aria-pressed') === 'true'")
    page.keyboard.press("Tab")  # the layers
    page.keyboard.press("Enter")
    visit.wait("document.getElementById('title').textContent.startsWith('relu1')")
    page.locator("#hide").focus()
    page.keyboard.press("Enter")
    for key in ("ArrowLeft", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    page.locator("#brush-done").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#changes tbody tr")
    assert page.evaluate("document.activeElement.id") == "changes-title"


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (320, "dark")])
def test_it_is_accessible_and_fits(visit, width, scheme):
    page = visit.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    page.get_by_role("button", name=re.compile("^relu2")).click()
    page.locator("#keep").click()
    page.locator("#hide").click()
    page.locator("#brush").click()
    page.locator("#brush-done").click()
    page.wait_for_selector("#changes tbody tr")
    visit.wait()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    result = AXE.Axe().run(page)
    assert result.violations_count == 0, result.generate_report()


def test_before_any_photo_it_says_what_to_do(chromium, address):
    visit = BenchVisit(chromium, address)
    page = visit.open()
    assert page.locator("nav").is_hidden() and page.locator("#photos button").count() == 0
    result = AXE.Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
    page.get_by_role("button", name="chelsea").click()
    visit.wait("document.getElementById('photo-name').textContent === 'sample:chelsea'")
    visit.check()
    visit.context.close()


@pytest.fixture
def visit_of_many(chromium, photos) -> Iterator[BenchVisit]:
    with running(bench_of_many()) as address, visiting(chromium, address, photos[0]) as each:
        yield each


def test_a_class_beyond_the_likeliest_is_found_by_keyboard_and_kept_in_the_address(visit_of_many, photos):
    visit, page = visit_of_many, visit_of_many.page
    expect(page.locator("#classes button")).to_have_count(5)
    page.get_by_role("searchbox", name="Find a class").fill("KIND")
    expect(page.locator("#class-count")).to_have_text("9 classes")
    found = page.locator("#class-results button")
    expect(found).to_have_count(9)
    name = found.nth(7).locator("span.index").inner_text()
    page.keyboard.press("ArrowDown")
    for _ in range(7):
        page.keyboard.press("ArrowDown")
    expect(found.nth(7)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text(f"kind {name}")
    visit.wait()
    expect(page.locator("#classes button")).to_have_count(6)
    expect(page.locator("#classes button[aria-pressed=true]")).to_contain_text(f"kind {name}")
    assert f"net.explain(x, {name})" in page.locator("#python").inner_text() and page.url.endswith(f"/class/{name}")
    page.locator("#class-query").fill("no such")
    expect(page.locator("#class-count")).to_have_text("0 classes")
    page.keyboard.press("Escape")
    expect(page.locator("#class-count")).to_have_text("")
    assert not AXE.Axe().run(page).response["violations"]
    page.reload()
    expect(page.locator("#title")).to_have_text(f"kind {name}")
    visit.wait()


def test_where_all_classes_are_shown_there_is_nothing_to_find(visit):
    expect(visit.page.locator("#find-class")).to_be_hidden()
