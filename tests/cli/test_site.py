"""`deconvnet site`, through the real entry point."""

import json
from pathlib import Path

import pytest
from support.coloured_atlas import coloured_atlas
from support.commands import ran


@pytest.fixture
def atlas(tmp_path) -> Path:
    return coloured_atlas(tmp_path / "atlas", {"a": (2, (4, 4)), "b": (1, ())}, ["x.jpg", "y.jpg"])


def test_it_says_where_the_first_page_lies_and_how_large_the_site_is(atlas, tmp_path, monkeypatch, capsys):
    site = tmp_path / "site"
    code, words = ran(monkeypatch, capsys, "site", atlas, "-o", site)
    assert code == 0 and words.startswith(f"{atlas} -> {site / 'index.html'} (8 pages, ")
    code, words = ran(monkeypatch, capsys, "site", atlas, "-o", site)
    assert code == 1 and "already exists. Replace it (--force" in words
    code, words = ran(monkeypatch, capsys, "site", atlas, "-o", site, "--force", "--json")
    told = json.loads(words)
    assert code == 0 and (told["pages"], told["pictures"]) == (8, 6) and Path(told["folder"]) == site
    assert told["bytes"] == sum(path.stat().st_size for path in site.rglob("*") if path.is_file())


def test_what_is_not_an_atlas_is_refused_in_the_words_of_the_reader(tmp_path, monkeypatch, capsys):
    code, words = ran(monkeypatch, capsys, "site", tmp_path, "-o", tmp_path / "site")
    assert code == 1 and "is not an atlas: manifest.json" in words and not (tmp_path / "site").exists()
