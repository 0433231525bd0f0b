"""The routes of a bench: what they answer, whom they refuse, and what bad input gives."""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from support.benches import HOST, ask, bench_of_many, client_of, png, running, small_bench
from support.coloured_atlas import coloured_atlas
from support.pages import pixels

from deconvnet import ArgumentError
from deconvnet.probes import quick_trust
from deconvnet.viewer.images import signal_picture, webp
from deconvnet.viewer.server import serve


@pytest.fixture(scope="module")
def bench():
    return small_bench()


@pytest.fixture(scope="module")
def client(bench):
    return client_of(bench)


@pytest.fixture(scope="module")
def photo(client):
    response = client.post("/photos", content=png(), headers={"X-Name": "my%20cat.png", "X-Visitor": "me"})
    assert response.status_code == 200
    return response.json()


@pytest.fixture(scope="module")
def photo_of_many():
    bench = bench_of_many()
    client = client_of(bench)
    return client, client.post("/photos", content=png(), headers={"X-Name": "cat.png"}).json(), bench


def test_a_photo_is_answered_with_its_likeliest_classes(photo):
    probabilities = [one["probability"] for one in photo["classes"]]
    assert photo["name"] == photo["source"] == "my cat.png" and len(photo["key"]) >= 16
    assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) == pytest.approx(1)
    assert pixels(photo["image"]).shape[2] == 3


def test_a_layer_is_answered_with_its_maps_the_strongest_first(client, photo):
    layer = ask(client, "layer", {"photo": photo["key"], "layer": "relu2", "count": 5, "channel": 15}).json()
    channels, peaks = zip(*((one["channel"], one["cells"][0]["activation"]) for one in layer["maps"]), strict=True)
    assert len(set(channels)) == len(channels) and 15 in channels and len(channels) in (5, 6)
    assert list(peaks[:5]) == sorted(peaks[:5], reverse=True)
    assert pixels(layer["maps"][0]["image"]).shape == (16, 16, 3)


def test_a_unit_is_answered_with_the_picture_that_the_library_makes(client, photo, bench):
    x = bench.photos[photo["key"]].seen.x
    unit = {"photo": photo["key"], "layer": "relu3", "channel": 4, "position": [3, 5]}
    answers = {rules: ask(client, "unit", {**unit, "rules": rules}).json() for rules in ("deconvnet", "guided")}
    for rules, answer in answers.items():
        result = bench.nets[rules].project(x, "relu3", channel=4, position=(3, 5))
        box = result.box(0)
        assert answer["box"] == [*box.low, *box.high]
        assert answer["activation"] == pytest.approx(float(result.activations[0]), rel=1e-5)
        drawn = pixels(answer["picture"])
        assert np.abs(drawn - np.asarray(result.picture(0).convert("RGB")).astype(float)).max() < 40  # WebP loses some
    steps = ask(client, "unit-steps", {**unit, "rules": "deconvnet"}).json()
    assert steps["passed"][steps["down"][0]]["name"] == "relu3" and steps["words"]


def test_a_class_is_answered_with_its_picture_its_steps_and_the_units_that_it_rests_on(client, photo, bench):
    question = {"photo": photo["key"], "klass": 1, "rules": "deconvnet"}
    answer, groups = (ask(client, what, question).json() for what in ("class", "rests-on"))
    assert answer["box"] == [0, 0, 32, 32] and answer["picture"]
    assert [group["layer"] for group in groups] == [0, 1, 2]
    index = photo["classes"][1]["index"]
    expected = bench.net.responsible(bench.photos[photo["key"]].seen.x, index, "relu3", k=1)
    unit, strongest = expected.units.units[0], groups[2]["units"][0]
    assert (strongest["channel"], tuple(strongest["position"])) == (unit.channel, unit.position)
    assert strongest["share"] == pytest.approx(float(expected.shares[0]), rel=1e-4)
    assert ask(client, "class-steps", question).json()["down"]


def test_classes_are_found_by_words_and_number_and_carried_down_by_their_rank(photo_of_many):
    client, photo, bench = photo_of_many
    assert len(photo["classes"]) == 5 and photo["every_class"] == 9
    answer = ask(client, "classes", {"photo": photo["key"], "text": "kind"}).json()
    ranks = [one["klass"] for one in answer["classes"]]
    assert answer["count"] == 9 and ranks == list(range(9))
    last = answer["classes"][-1]
    probabilities = bench.net.probabilities(bench.photos[photo["key"]].seen.x)[0]
    assert last["index"] == int(probabilities.argmin()) and last["label"] == f"kind {last['index']}"
    drawn = ask(client, "class", {"photo": photo["key"], "klass": 8, "rules": "gradient"}).json()
    result = bench.nets["gradient"].explain(bench.photos[photo["key"]].seen.x, last["index"])
    assert drawn["picture"] == webp(signal_picture(result, 0, result.box(0, "none")))
    (one,) = ask(client, "classes", {"photo": photo["key"], "text": "7"}).json()["classes"]
    assert one["index"] == 7 and ask(client, "classes", {"photo": photo["key"], "text": " "}).json()["count"] == 0


def test_what_a_picture_rests_on_is_answered_in_a_line(client, photo, bench):
    x, preprocess = bench.photos[photo["key"]].seen.x, bench.loaded.preprocess
    result = bench.nets["guided"].project(x, "relu2", channel=4)
    unit = {"photo": photo["key"], "layer": "relu2", "channel": 4, "position": result.units[0].position,
            "rules": "guided"}  # fmt: skip
    line = quick_trust(bench.nets["guided"], x, result, preprocess=preprocess).line()
    assert ask(client, "unit-trust", unit).json() == {"line": line}
    answer = ask(client, "class-trust", {"photo": photo["key"], "klass": 0, "rules": "deconvnet"}).json()
    assert "rank correlation with edges" in answer["line"]


def test_units_that_see_a_pixel_do_see_it(client, photo, bench):
    groups = ask(client, "seeing", {"photo": photo["key"], "row": 9, "column": 30, "rules": "deconvnet"}).json()
    x = bench.photos[photo["key"]].seen.x
    assert groups[0]["units"]
    for group in groups:
        name = bench.layers[group["layer"]]
        for unit in group["units"]:
            result = bench.net.project(x, name, channel=unit["channel"], position=tuple(unit["position"]))
            (top, left), (bottom, right) = result.boxes[0].tolist()
            assert top <= 9 < bottom and left <= 30 < right and unit["activation"] > 0


def test_what_is_hidden_is_the_mean_pixel_and_the_classes_say_what_changes(client, photo, bench):
    discs = [[16, 16, 6.5], [2, 30, 3]]
    answer = ask(client, "hide", {"photo": photo["key"], "dabs": discs}).json()
    x = bench.photos[photo["key"]].seen.x.clone()
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) + 0.5 for n in (32, 32)), indexing="ij")
    for row, column, radius in discs:
        x[..., (rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 0
    assert (bench.photos[answer["photo"]["key"]].seen.x == x).all()
    after = bench.net.probabilities(x)[0]
    for change in answer["changes"]:
        assert change["after"] == pytest.approx(float(after[change["index"]]), rel=1e-4)
    assert answer["photo"]["hidden"] == discs and "hidden" in answer["photo"]["name"]
    again = ask(client, "hide", {"photo": answer["photo"]["key"], "dabs": [[1, 1, 2]]}).json()
    assert again["photo"]["hidden"] == [*discs, [1, 1, 2]]


def test_the_same_part_of_several_photos_is_compared_as_by_the_experiment(client, photo, bench):
    other = client.post("/photos", content=png(8)).json()
    boxes = [(4, 6, 12, 14), (10, 8, 18, 16)]
    keys = [photo["key"], other["key"]]
    marks = [dict(zip(("photo", "top", "left", "bottom", "right"), (key, *box), strict=True))
             for key, box in zip(keys, boxes, strict=True)]  # fmt: skip
    rows = ask(client, "correspondence", {"marks": marks}).json()["rows"]
    inputs = [bench.photos[key].seen.x for key in keys]
    layers = {row["layer"]: row for row in rows}
    assert list(layers) == ["relu2", "relu3"]
    signs = []
    for x, (top, left, bottom, right) in zip(inputs, boxes, strict=True):
        covered = x.clone()
        covered[..., top:bottom, left:right] = 0
        before, after = bench.net.activations(torch.cat([x, covered]), ["relu3"])["relu3"].flatten(1)
        signs.append((after - before).sign())
    assert layers["relu3"]["distance"] == pytest.approx(float((signs[0] != signs[1]).double().mean()), abs=0.01)


def test_a_visitor_finds_the_own_photos_again_and_nobody_elses(client, photo):
    mine = client.get("/photos", headers={"X-Visitor": "me"}).json()["photos"]
    assert photo["key"] in [one["key"] for one in mine]
    for visitor in ("other", "", "m*", "me" * 40):
        assert client.get("/photos", headers={"X-Visitor": visitor}).json() == {"photos": []}


def test_a_sample_is_there_for_those_who_bring_no_photo(client):
    response = client.post("/samples", json={"sample": "chelsea"})
    assert response.json()["source"] == "sample:chelsea"
    response = client.post("/samples", json={"sample": "../secret"})
    assert response.status_code == 400 and "is not a sample photo" in response.json()["error"]


BAD = [
    ("unit", b"", "Input data was truncated"), ("unit", b"\xff\xfe", "request"), ("unit", b"[" * 100_000, "request"),
    ("unit", {}, "missing required field"), ("unit", [], "Expected `object`"),
    ("unit", {"layer": "relu3"}, "missing required field"),
    ("unit", {"layer": "relu3", "channel": 99, "position": [0, 0], "rules": "deconvnet"}, "99"),
    ("unit", {"layer": "relu3", "channel": -1, "position": [0, 0], "rules": "deconvnet"}, ">= 0"),
    ("unit", {"layer": "relu3", "channel": True, "position": [0, 0], "rules": "deconvnet"}, "Expected `int`"),
    ("unit", {"layer": "relu3", "channel": 1, "position": [8, 0], "rules": "deconvnet"}, "8"),
    ("unit", {"layer": "relu3", "channel": 1, "position": [1], "rules": "deconvnet"}, "position"),
    ("unit", {"layer": "conv9", "channel": 1, "position": [1, 1], "rules": "deconvnet"}, "is not one of those shown"),
    ("unit", {"layer": "fc", "channel": 1, "position": [], "rules": "deconvnet"}, "is not one of those shown"),
    ("unit", {"layer": "relu3", "channel": 1, "position": [1, 1], "rules": "x" * 900}, "no rule set is called"),
    ("unit", {"layer": "relu3", "channel": 1, "position": [1, 1], "rules": "deconvnet", "model": "x.py:f"}, "unknown"),
    ("layer", {"layer": "relu3", "count": 0}, ">= 1"), ("layer", {"layer": "relu3", "channel": 16}, "16 feature maps"),
    ("class", {"klass": 5, "rules": "deconvnet"}, "has 5 classes"), ("class", {"klass": 2**40, "rules": "a"}, "<="),
    ("classes", {"text": 3}, "Expected `str`"), ("classes", {"text": "a" * 1001}, "length <= 1000"),
    ("hide", {"dabs": []}, "length >= 1"), ("hide", {"dabs": [[1, 2]]}, "length 3"),
    ("hide", {"dabs": [[1, 2, 0]]}, "> 0"), ("hide", {"dabs": [[900, 900, 1]]}, "covers nothing"),
    ("hide", {"dabs": [[1, 2, 1e300]]}, "<="), ("hide", {"dabs": [[1, 1, 1]] * 2001}, "length <= 2000"),
    ("correspondence", {"marks": []}, "unknown field"),
    ("seeing", {"row": 1.5, "column": 2, "rules": "deconvnet"}, "Expected `int`"),
    ("x" * 300, {}, "is not something to ask"), ("%2e%2e", {}, "is not something to ask"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "question", "words"), BAD)
def test_a_request_of_another_form_is_refused_in_words(client, photo, what, question, words):
    whole = {"photo": photo["key"], **question} if isinstance(question, dict) and question else question
    response = ask(client, what, whole)
    assert response.status_code == 400 and words in response.json()["error"]
    assert len(response.text) < 1500


def test_a_pixel_that_no_unit_sees_gives_no_units(client, photo):
    question = {"photo": photo["key"], "row": 30_000, "column": 2, "rules": "deconvnet"}
    assert all(not group["units"] for group in ask(client, "seeing", question).json())


def test_a_photo_that_is_not_in_memory_is_said_to_be_gone(client):
    response = ask(client, "layer", {"photo": "nobody", "layer": "relu1"})
    assert response.status_code == 404 and response.json()["gone"] is True


@pytest.mark.parametrize("path", [
    "/static/..%2fserver.py", "/static/%2e%2e/server.py", "/static/....//server.py", "/static//etc/passwd",
    "/static/..\\server.py", "/static/report.css%00", "/static/%252e%252e%252fserver.py", "/../../etc/passwd",
    "/static/", "/etc/passwd", "/ask", "/photos/x", "/static/server.py",
])  # fmt: skip
def test_a_path_never_reaches_the_file_system(client, path):
    response = client.get(path)
    assert response.status_code in (404, 405) and len(response.text) < 200


def test_files_of_the_page_are_served_as_what_they_are(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for name in [part.split('"')[0] for part in page.text.split("/static/")[1:]]:
        response = client.get(f"/static/{name}")
        kind = "text/javascript" if name.endswith(".js") else "text/css"
        assert response.status_code == 200 and response.headers["content-type"].startswith(kind)


def test_every_answer_confines_its_page(client, photo):
    for response in (client.get("/"), client.get("/nothing"), client.get("/", headers={"Host": "evil.example"})):
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "unsafe" not in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "127.0.0.1"}, {"Host": "127.0.0.1:8000.evil.example"}, {"Host": ""},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "https://127.0.0.1:8000"},
    {"Origin": "http://127.0.0.1:9000"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
])  # fmt: skip
def test_what_comes_from_a_page_of_another_site_is_refused(client, headers):
    for response in (client.post("/photos", content=png(), headers=headers), client.get("/photos", headers=headers)):
        assert response.status_code in (403, 421) and "error" in response.json()


def test_the_own_page_is_let_in(client):
    headers = {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/photos", content=png(), headers=headers).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200


def test_a_form_of_another_kind_than_json_is_not_an_ask(client, photo):
    response = client.post("/ask/layer", data={"photo": photo["key"], "layer": "relu1"})
    assert response.status_code == 400 and "application/json" in response.json()["error"]


def test_with_a_token_nothing_is_answered_without_it(bench):
    client = client_of(bench, hosts=None, token="s3cret", cookie="c")
    for path in ("/", "/static/dom.js", "/photos", "/?token=", "/?token=s3cre", "/?token=s3cret1", "/?token=%ff"):
        assert client.get(path).status_code == 401
    assert client.get("/", headers={"Cookie": "c=wrong"}).status_code == 401
    first = client.get("/?token=s3cret")
    assert first.status_code == 303 and first.headers["location"] == "/"
    assert "HttpOnly" in first.headers["set-cookie"] and "samesite=strict" in first.headers["set-cookie"].lower()
    assert client.get("/").status_code == 200  # the client holds the cookie
    assert client.get("/photos", headers={"Origin": "http://evil.example"}).status_code == 403
    with pytest.raises(ValueError, match="needs a token"):
        client_of(bench, hosts=None)


def odd_uploads(count: int) -> list[bytes]:
    """Files that are cut off, changed in some bytes, of another kind, or say that they are huge."""
    rng, whole = np.random.default_rng(7), [png(), _saved("JPEG"), _saved("GIF"), _saved("WEBP"), _saved("TIFF")]
    npy = io.BytesIO()
    np.save(npy, np.zeros((9, 8, 3), np.uint8))
    whole.append(npy.getvalue())
    cases = [b"", b"\0", b"<svg onload=alert(1)>", b"%!PS-Adobe-3.0 EPSF", json.dumps({}).encode(), _huge()]
    while len(cases) < count:
        data = bytearray(whole[int(rng.integers(len(whole)))])
        if rng.random() < 0.4:
            del data[int(rng.integers(1, len(data))) :]
        for _ in range(int(rng.integers(1, 12))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        cases.append(bytes(data))
    return cases


def _saved(kind: str) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(png())).save(file, kind)
    return file.getvalue()


def _huge() -> bytes:
    """A PNG that says it has 60000 x 60000 pixels."""
    data = bytearray(png())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def check_uploads(client, cases: list[bytes]) -> None:
    for data in cases:
        response = client.post("/photos", content=data)
        assert response.status_code in (200, 400), data[:40]
        if response.status_code == 400:
            assert response.json()["error"] and "Traceback" not in response.text


@pytest.mark.filterwarnings("ignore")  # of decoders, about damaged files
def test_an_odd_upload_is_a_photo_or_is_refused_in_words(client):
    check_uploads(client, odd_uploads(40))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_thousand_odd_uploads(client):
    check_uploads(client, odd_uploads(1000))


def test_a_file_above_the_limit_is_refused_before_it_is_read(client):
    response = client.post("/photos", content=b"x", headers={"Content-Length": str(2**40)})
    assert response.status_code == 413 and "larger than 32 MiB" in response.json()["error"]

    def parts():
        for _ in range(40):
            yield bytes(2**20)

    response = client.post("/photos", content=parts())
    assert response.status_code == 413


@pytest.mark.parametrize("name", ["%2e%2e%2f%2e%2e%2fetc%2fpasswd", "C%3A%5Cx%5Cpasswd", "%00passwd", "%ff"])
def test_a_name_is_a_name_and_not_a_path(client, name):
    view = client.post("/photos", content=png(), headers={"X-Name": name}).json()
    assert "/" not in view["name"] and "\\x" not in view["name"][:1] and view["source"] == ""


def test_a_fault_of_the_server_is_said_without_its_traceback(bench, photo, monkeypatch, capsys):
    monkeypatch.setattr(bench.net, "activations", lambda *_: 1 / 0, raising=False)
    response = ask(client_of(bench), "layer", {"photo": photo["key"], "layer": "relu1"})
    assert response.status_code == 500 and "fault of its own" in response.json()["error"]
    assert "ZeroDivisionError" in capsys.readouterr().err and "Zero" not in response.text


async def clicks(address: str, key: str, begun: threading.Event, go_on: threading.Event) -> list[int]:
    """The status of a visitor's four clicks, of which the first is in work all the time, and of another visitor's."""
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:

        async def click(turn: int, visitor: str = "me") -> int:
            headers = {"Content-Type": "application/json", "X-Visitor": visitor, "X-Turn": str(turn)}
            question = json.dumps({"photo": key, "layer": "relu1", "count": turn})
            return (await client.post("/ask/layer", content=question, headers=headers)).status_code

        tasks = [asyncio.create_task(click(1))]
        await asyncio.to_thread(begun.wait, 10)
        tasks += [asyncio.create_task(click(turn)) for turn in (2, 3)]
        tasks.append(asyncio.create_task(click(1, "other")))
        await asyncio.sleep(0.2)
        tasks.append(asyncio.create_task(click(4)))
        await asyncio.sleep(0.2)
        go_on.set()
        return await asyncio.gather(*tasks)


def in_a_thread(work):
    """What the work gives, in a thread of its own: a browser of other tests may have a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def test_what_a_visitor_no_longer_waits_for_is_not_begun(monkeypatch):
    bench, begun, go_on, work = small_bench(), threading.Event(), threading.Event(), []
    activations = bench.net.activations

    def slowly(x, layers):
        work.append(layers)
        begun.set()
        go_on.wait(10)
        return activations(x, layers)

    key = bench.put(bench.read(png(), "a.png"))["key"]
    monkeypatch.setattr(bench.net, "activations", slowly, raising=False)
    with running(bench) as address:
        codes = in_a_thread(lambda: asyncio.run(clicks(address, key, begun, go_on)))
    assert codes == [200, 409, 409, 200, 200] and len(work) == 3


def test_slow_and_broken_clients_do_not_keep_others_waiting(bench):
    with running(bench) as address:
        host, port = address.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port))) for _ in range(30)]
        head = f"POST /photos HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 100000\r\n\r\nabc".encode()
        for i, connection in enumerate(slow):
            connection.sendall(head[: len(head) if i % 3 else 20] if i % 5 else b"\0\r\n\r\n")
        assert httpx.post(f"{address}/photos", content=png(), timeout=30).status_code == 200
        for connection in slow:
            connection.close()
        assert httpx.get(address).status_code == 200


@pytest.mark.slow
def test_two_hundred_clients_at_once_are_all_answered_in_bounded_memory(bench, monkeypatch):
    import psutil

    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (1500, 2000, 3)).astype(np.uint8)
    Image.fromarray(noise).save(file, "PNG", compress_level=0)
    body, most, rss = file.getvalue(), [0], psutil.Process().memory_info

    async def visit(client: httpx.AsyncClient, i: int) -> int:
        response = await client.post("/photos", content=body, headers={"X-Visitor": f"v{i}"})
        most[0] = max(most[0], rss().rss)
        return response.status_code

    async def visits(address: str) -> list[int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:
            return await asyncio.gather(*(visit(client, i) for i in range(200)))

    with running(bench) as address:
        before = rss().rss
        codes = in_a_thread(lambda: asyncio.run(visits(address)))
        assert set(codes) <= {200, 503} and codes.count(200) >= 20
        assert most[0] - before < 1.5e9
        assert httpx.get(address).status_code == 200


def test_a_port_that_is_in_use_is_said_to_be():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ArgumentError, match=f"cannot listen on 127.0.0.1:{port}: .* Give another port"):
            serve([], port=port)
    with pytest.raises(ArgumentError, match="Give another address"):
        serve([], host="no such host", port=0)


@pytest.mark.parametrize("pages_only", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_command_serves_until_ctrl_c_and_ends_cleanly(tmp_path, pages_only):
    atlas = coloured_atlas(tmp_path / "atlas", {"conv1": (2, (8, 8))}, ["a.png", "b.png"])
    command = [sys.executable, "-m", "deconvnet", "serve", str(atlas), "--port", "0", "--host", "127.0.0.1"]
    command += ["--pages-only"] if pages_only else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        line = process.stdout.readline()
        address = line.split()[-1]
        assert "?token=" in address
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(address, timeout=10) as page:
            text = page.read().decode()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and errors.splitlines()[-1] == "deconvnet: the server has ended."
    assert "Traceback" not in errors and os.listdir(tmp_path) == ["atlas"]
    assert ("The bench of zfnet-mini" in text and 'href="/atlas/index.html"' in text) != pages_only
    assert ("name the atlas's model with --model" in errors) != pages_only


def test_without_its_libraries_the_command_says_what_to_install():
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "sys.argv = ['deconvnet', 'serve']\n"
        "from deconvnet.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "pip install 'deconvnet[serve]'" in done.stderr and "Traceback" not in done.stderr
