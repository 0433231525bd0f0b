"""An atlas that is served: the pages of its site, and nothing else of the disk."""

import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from support.benches import HOST
from support.coloured_atlas import coloured_atlas

from deconvnet import Atlas
from deconvnet.viewer.atlas_routes import AtlasRoutes
from deconvnet.viewer.server import app_of
from deconvnet.viewer.site import write_site


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    photos = ["a.png", "<img src=x onerror=alert(1)>.png", "c.png", "d.png"]
    return coloured_atlas(
        tmp_path_factory.mktemp("served") / "atlas", {"conv1": (3, (8, 8)), "fc": (2, ())}, photos, dead=((0, 1),)
    )


@pytest.fixture(scope="module")
def client(folder) -> TestClient:
    app = app_of(AtlasRoutes(Atlas.open(folder), alone=True).routes, hosts=frozenset({HOST}))
    return TestClient(app, base_url=f"http://{HOST}", follow_redirects=False)


def test_each_file_is_the_one_of_the_static_site(client, folder, tmp_path):
    site = write_site(Atlas.open(folder), tmp_path / "site").folder
    files = [path for path in site.rglob("*") if path.is_file() and path.name != "site.json"]
    assert len(files) > 20
    for path in files:
        response = client.get(f"/atlas/{path.relative_to(site).as_posix()}")
        assert response.status_code == 200 and response.content == path.read_bytes()
    assert client.get("/").headers["location"] == "/atlas/index.html"


@pytest.mark.parametrize("path", [
    "manifest.json", "top.parquet", "../manifest.json", "%2e%2e/manifest.json", "maps/conv1/9.html",
    "pictures/conv1/1.signal.webp", "/etc/passwd", "", "static/", "maps/conv1/0.html%00",
])  # fmt: skip
def test_nothing_else_is_served(client, path):
    assert client.get(f"/atlas/{path}").status_code == 404


def test_a_picture_that_is_missing_is_said_and_the_rest_is_served(tmp_path):
    folder = coloured_atlas(tmp_path / "atlas", {"conv1": (2, (8, 8))}, ["a.png", "b.png"])
    client = TestClient(
        app_of(AtlasRoutes(Atlas.open(folder), alone=False).routes, hosts=frozenset({HOST})), base_url=f"http://{HOST}"
    )
    for picture in (folder / "pictures").rglob("0.signal.*"):
        picture.unlink()
    response = client.get("/atlas/pictures/conv1/0.signal.webp")
    assert response.status_code == 500 and "error" in response.json()
    assert client.get("/atlas/maps/conv1/0.html").status_code == 200
    assert client.get("/").status_code == 404


def test_to_serve_an_atlas_needs_no_torch(folder):
    code = (
        "import sys; from deconvnet import Atlas; from deconvnet.viewer.atlas_routes import AtlasRoutes\n"
        "from deconvnet.viewer.server import serve\n"
        f"AtlasRoutes(Atlas.open({str(folder)!r}), alone=True); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
