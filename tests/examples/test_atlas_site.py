"""The site of the documents is built by one command."""

import sys

import atlas_site
import pytest


@pytest.mark.slow
def test_the_site_of_the_documents_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(atlas_site, "PHOTOS", ("chelsea",))
    monkeypatch.setattr(sys, "argv", ["atlas_site.py", "-o", str(tmp_path / "site"), "--layers", "relu1"])
    atlas_site.main()
    assert len(list((tmp_path / "site" / "maps" / "relu1").iterdir())) == 64
    assert "relu1" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_crops_lie_within_the_photo_and_each_has_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(atlas_site, "PHOTOS", ("chelsea",))
    atlas_site.write_crops(tmp_path)
    assert len(list(tmp_path.iterdir())) == sum(across**2 for across in atlas_site.ACROSS)
