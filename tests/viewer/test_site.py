"""A site is written whole, from what an atlas holds and from nothing else, and replaces only what is its own."""

import os
import shutil
from pathlib import Path

import pytest
from support.atlases import files
from support.coloured_atlas import coloured_atlas

from deconvnet import ArgumentError, Atlas, AtlasError, DeconvNetError, write_site
from deconvnet.atlas.store import strip_path
from deconvnet.viewer.addresses import layer_address, map_address, photo_address, strip_address

LAYERS = {"relu1": (3, (8, 8)), "Fc/relu#2": (2, ())}
PHOTOS = ["a.jpg", "b/é 猫.jpg", "C.jpg", "c.jpg", "d.jpg"]
SCRIPT = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> Atlas:
    return Atlas.open(coloured_atlas(tmp_path_factory.mktemp("site") / "atlas", LAYERS, PHOTOS, dead=((0, 1),)))


def test_every_layer_map_and_photo_has_a_page_and_every_strip_is_the_same_file(atlas, tmp_path):
    site = write_site(atlas, tmp_path / "site")
    written = files(tmp_path / "site")
    maps = [(layer, channel) for layer, (count, _) in LAYERS.items() for channel in range(count)]
    pages = {"index.html", *map(layer_address, LAYERS), *(map_address(*each) for each in maps),
             *map(photo_address, atlas.photos())}  # fmt: skip
    assert pages == {name for name in written if name.endswith(".html")} and site.pages == len(pages)
    strips = {strip_address(*each, kind): strip_path(atlas.folder, *each, kind).read_bytes()
              for each in maps if each != ("relu1", 1) for kind in ("signal", "patch")}  # fmt: skip
    assert {name: data for name, data in written.items() if name.endswith(".webp")} == strips
    assert site.pictures == len(strips) and site.bytes == sum(map(len, written.values()))
    assert repr(site.folder) in repr(site) and ".deconvnet-unfinished" not in os.listdir(tmp_path / "site")


def test_addresses_stay_when_the_atlas_is_built_again(atlas, tmp_path):
    again = coloured_atlas(tmp_path / "again", LAYERS, PHOTOS[::-1], seed=7)
    for name, of_site in (("a", atlas), ("b", Atlas.open(again))):
        write_site(of_site, tmp_path / name)
    first, second = (set(files(tmp_path / name)) for name in "ab")
    assert second - first == {f"pictures/relu1/1.{kind}.webp" for kind in ("signal", "patch")} and first <= second


def test_names_that_hold_html_or_paths_are_escaped_and_stay_in_the_folder(tmp_path):
    odd = [f"{SCRIPT}.jpg", "../../up.jpg", "x" * 300, "CON", "con", "%2e%2e", "a\nb", "</script>", ""]
    layers = {"../x": (1, (2, 2)), SCRIPT: (1, (2, 2)), "A": (1, ()), "a": (1, ()), "</script>": (1, ())}
    folder = coloured_atlas(tmp_path / "atlas", layers, odd, k=9)
    before = set(files(tmp_path))
    write_site(Atlas.open(folder), tmp_path / "site")
    added = set(files(tmp_path)) - before
    assert all(name.startswith("site/") for name in added)
    names = [name.casefold() for name in added]
    assert len(set(names)) == len(names)
    for name, data in files(tmp_path / "site").items():
        if name.endswith((".html", ".js")) and not name.startswith("static/"):
            assert b"<img src=x" not in data and (b"<" not in data or name.endswith(".html"))
    assert len([name for name in added if name.startswith("site/photos/") and name.endswith(".html")]) == len(odd)
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in (tmp_path / "site/index.html").read_text()


def test_a_site_is_replaced_only_if_asked_and_what_lies_beside_it_stays(atlas, tmp_path):
    folder = tmp_path / "site"
    fewer = Atlas.open(coloured_atlas(tmp_path / "fewer", {"relu1": (1, (8, 8))}, PHOTOS))
    write_site(atlas, folder)
    (folder / "CNAME").write_text("example.org")
    before = files(folder)
    with pytest.raises(ArgumentError, match=r"site\.json' already exists\. Replace it \(--force"):
        write_site(fewer, folder)
    assert files(folder) == before
    write_site(fewer, folder, force=True)
    assert not (folder / "maps" / "relu1" / "2.html").exists() and (folder / "CNAME").read_text() == "example.org"
    write_site(atlas, folder, force=True)
    assert files(folder) == before


@pytest.mark.parametrize("place", ["pictures/mine.png", "maps/relu1/mine.html", "static/own/mine.js"])
def test_a_file_of_the_users_among_those_of_the_site_is_not_removed(atlas, tmp_path, place):
    folder = tmp_path / "site"
    write_site(atlas, folder)
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("mine")
    (folder / "photos" / ".DS_Store").write_text("of a desktop")
    before = files(folder)
    with pytest.raises(ArgumentError, match=rf"{place}' is not of the site"):
        write_site(atlas, folder, force=True)
    assert files(folder) == before
    (folder / place).unlink()
    write_site(atlas, folder, force=True)
    assert not (folder / "photos" / ".DS_Store").exists()


def test_a_folder_that_holds_anything_else_is_refused(atlas, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    for folder in (tmp_path / "mine", atlas.folder):
        before = files(folder)
        with pytest.raises(ArgumentError, match="is not empty"):
            write_site(atlas, folder, force=True)
        assert files(folder) == before


@pytest.mark.parametrize("kind", ["signal", "patch"])
@pytest.mark.parametrize("damage", ["missing", "cut off", "another size"])
def test_a_damaged_atlas_is_refused_and_the_old_site_stays(atlas, tmp_path, kind, damage):
    broken = Path(shutil.copytree(atlas.folder, tmp_path / "broken"))
    path = strip_path(broken, "Fc/relu#2", 1, kind)
    if damage == "missing":
        path.unlink()
    elif damage == "cut off":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        other = coloured_atlas(tmp_path / "other", LAYERS, PHOTOS, k=3)
        path.write_bytes(strip_path(other, "Fc/relu#2", 1, kind).read_bytes())
    write_site(atlas, tmp_path / "site")
    before = files(tmp_path / "site")
    for folder in (tmp_path / "site", tmp_path / "new"):
        with pytest.raises(AtlasError, match=rf"1\.{kind}\.webp' is (missing|damaged)"):
            write_site(Atlas.open(broken), folder, force=True)
    assert files(tmp_path / "site") == before and not (tmp_path / "new").exists()


def test_an_interrupted_site_leaves_nothing_and_the_old_one_as_it_was(atlas, tmp_path):
    def interrupt(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    write_site(atlas, tmp_path / "site")
    before = files(tmp_path / "site")
    for folder in (tmp_path / "site", tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt):
            write_site(atlas, folder, force=True, progress=interrupt)
    assert files(tmp_path / "site") == before and not (tmp_path / "new").exists()


@pytest.mark.parametrize("count", range(0, 14, 3))
def test_a_site_that_could_not_be_put_in_its_place_is_so_the_next_time(atlas, tmp_path, monkeypatch, count):
    folder, left = tmp_path / "site", [count]
    write_site(atlas, folder)
    before, replace = files(folder), os.replace

    def refuse(source, target) -> None:
        if Path(target).parent in (folder, folder / ".deconvnet-unfinished" / "old"):
            left[0] -= 1
            if left[0] < 0:
                raise OSError("the disk is gone")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DeconvNetError, match="the disk is gone"):
        write_site(atlas, folder, force=True)
    assert count == 0 or not (folder / "site.json").exists()
    monkeypatch.undo()
    write_site(atlas, folder, force=True)
    assert files(folder) == before


def test_progress_reaches_the_end_and_never_falls(atlas, tmp_path):
    shares: list[float] = []
    write_site(atlas, tmp_path / "site", progress=shares.append)
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1


def test_an_atlas_that_does_not_say_how_large_its_photos_are_is_refused(tmp_path):
    for i, size in enumerate((None, 64, (64,), (64, 0), ("a", "b"))):
        folder = coloured_atlas(tmp_path / str(i), LAYERS, PHOTOS, manifest={"preprocess": {"size": size}})
        with pytest.raises(AtlasError, match="how large the network's input is"):
            write_site(Atlas.open(folder), tmp_path / "site")
