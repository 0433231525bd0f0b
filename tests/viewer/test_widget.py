"""The bench in a notebook: the kernel's side, and the cell's in a real browser."""

import base64
import json
import re
import sys
from pathlib import Path

import pytest
from support.benches import png, small_bench
from support.pages import small, stack

import deconvnet
from deconvnet import ArgumentError, PhotoError, Report
from deconvnet.viewer.rendering import static_text

pytest.importorskip("anywidget")

from deconvnet.viewer.widget import BenchWidget

pytestmark = pytest.mark.filterwarnings("ignore::deconvnet.DeconvNetWarning")


@pytest.fixture(scope="module")
def widget() -> BenchWidget:
    return BenchWidget(small_bench())


def asked(widget: BenchWidget, what: str, question: object, *buffers: bytes) -> dict:
    text = question if isinstance(question, str) else json.dumps(question)
    return widget.answer({"id": "a-1", "what": what, "question": text}, list(buffers))


def test_the_kernel_answers_a_message_with_its_id(widget):
    answer = asked(widget, "photo", "cat.png", png())
    view = json.loads(answer["answer"])
    assert answer["id"] == "a-1" and view["name"] == "cat.png"
    maps = json.loads(asked(widget, "layer", {"photo": view["key"], "layer": "relu2"})["answer"])["maps"]
    assert len(maps) == 16
    names = [each["name"] for each in json.loads(asked(widget, "photos", "")["answer"])]
    assert "cat.png" in names


@pytest.mark.parametrize(
    ("content", "buffers", "words"),
    [
        (None, [], "is not something to ask"),
        ({"id": 1, "what": "rm -rf", "question": ""}, [], "is not something to ask"),
        ({"id": 1, "what": "unit", "question": "[]"}, [], "is not of the form"),
        ({"id": 1, "what": "photo", "question": "a.png"}, [], "is empty"),
        ({"id": 1, "what": "photo", "question": "a.png"}, [b"no photo"], "is not an image"),
        ({"id": 1, "what": "sample", "question": "x"}, [], "is not a sample"),
        ({"id": 1, "what": "layer", "question": '{"photo": "x", "layer": "relu1"}'}, [], "no longer in memory"),
    ],
)
def test_what_cannot_be_answered_is_said(widget, content, buffers, words):
    assert words in widget.answer(content, buffers)["error"]


def test_photos_to_begin_with_are_on_the_bench_and_bad_ones_are_refused(tmp_path):
    net, loaded = small(stack())
    (tmp_path / "cat.png").write_bytes(png())
    made = deconvnet.bench(net, ["sample:chelsea", tmp_path / "cat.png"], loaded=loaded)
    assert [each["name"] for each in json.loads(asked(made, "photos", "")["answer"])] == ["sample:chelsea", "cat.png"]
    with pytest.raises(PhotoError):
        deconvnet.bench(net, tmp_path / "nothing.png", loaded=loaded)
    with pytest.raises(ArgumentError, match="another network"):
        deconvnet.bench(net, loaded=small(stack())[1])


def test_without_anywidget_the_report_page_is_shown(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    net, loaded = small(stack())
    assert isinstance(deconvnet.bench(net, "sample:chelsea", loaded=loaded), Report)
    with pytest.raises(ArgumentError, match=r"pip install 'deconvnet\[notebook\]'"):
        deconvnet.bench(net, loaded=loaded)


def test_the_cell_of_a_notebook_asks_the_kernel(chromium, widget, tmp_path):
    module = base64.b64encode(static_text("notebook.js").encode()).decode()
    html = f"""<!doctype html><title>notebook</title><div id="cell"></div><script type="module">
        import widget from "data:text/javascript;base64,{module}";
        const handlers = [], page = await kernelPage();
        const model = {{
          get: () => page, on: (_, handler) => handlers.push(handler), off: () => {{}},
          send: async (content, _, buffers) => {{
            const bytes = buffers.map((each) => [...new Uint8Array(each)]);
            const answer = await kernel(content, bytes);
            handlers.forEach((handler) => handler(answer));
          }},
        }};
        widget.render({{ model, el: document.getElementById("cell") }});
    </script>"""
    (tmp_path / "notebook.html").write_text(html)
    (tmp_path / "cat.png").write_bytes(png())
    context = chromium.new_context()
    page, faults = context.new_page(), list[str]()
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("console", lambda message: faults.append(message.text))
    page.expose_function("kernelPage", lambda: widget.page)
    page.expose_function("kernel", lambda content, buffers: widget.answer(content, [bytes(each) for each in buffers]))
    page.goto((tmp_path / "notebook.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("#files").set_input_files(Path(tmp_path / "cat.png"))
    frame.locator("#rests-on button").first.wait_for()
    frame.get_by_role("button", name=re.compile("^relu2")).click()
    frame.get_by_text(re.compile(r"^relu2, map \d+ at")).first.wait_for()
    for index in range(1, 6):  # faster than the kernel
        frame.locator("#maps button").nth(index).click()
    chosen = frame.locator("#maps button").nth(5).locator("span").first.inner_text()
    frame.get_by_text(re.compile(f"^relu2, {chosen} at")).first.wait_for()
    frame.locator("#trust").get_by_text("correlation with edges").wait_for()
    assert not faults
    context.close()
