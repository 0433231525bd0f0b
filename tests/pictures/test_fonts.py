"""Letters of any script: in a font that has them, or as their code with a warning, never as a question mark."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import ImageFont

from deconvnet._errors import DeconvNetWarning
from deconvnet.pictures import fonts
from deconvnet.pictures.fonts import OWN, Face, Run, runs_of

DEJAVU = Face(next(iter(Path(fonts._own_folders()[0]).glob("DejaVuSans.ttf")))) if fonts._own_folders() else None
needs_dejavu = pytest.mark.skipif(DEJAVU is None, reason="matplotlib, which brings DejaVu Sans, is not installed")


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Each test looks for fonts anew, and is warned anew."""
    monkeypatch.setattr(fonts, "_warned", set())
    for cached in (fonts._system_face, fonts._faces_below):
        cached.cache_clear()
    yield
    for cached in (fonts._system_face, fonts._faces_below):
        cached.cache_clear()


@pytest.fixture
def no_fonts(monkeypatch):
    monkeypatch.setattr(fonts, "_candidates", lambda letters: [])


@pytest.fixture
def only_dejavu(monkeypatch):
    monkeypatch.setattr(fonts, "_candidates", lambda letters: [DEJAVU])


def test_plain_text_is_in_pillow_s_own_font(no_fonts):
    assert runs_of("map 3: 12 % ~{}|") == [Run("map 3: 12 % ~{}|", OWN)]


def test_signs_are_spelt_in_letters_of_pillow_s_own_font(no_fonts):
    assert runs_of("3×3 – “a”\xa0→ b…") == [Run('3x3 - "a" -> b...', OWN)]


def test_without_other_fonts_accents_are_left_out_and_no_letter_is_lost(no_fonts):
    assert runs_of("Égyptian naïve Straße") == [Run("Egyptian naive Strasse", OWN)]


def test_a_letter_that_no_font_has_is_its_code_with_one_warning(no_fonts):
    with pytest.warns(DeconvNetWarning, match=r"has '猫' \(cjk unified ideograph-732b\).*its code, U\+732B") as warned:
        assert runs_of("猫 cat, 猫") == [Run("U+732B cat, U+732B", OWN)]
        runs_of("猫")
    assert len(warned) == 1
    with pytest.warns(DeconvNetWarning, match=r"has '虎' .*, 'я' .*, so pictures show their codes, U\+864E U\+044F"):
        assert runs_of("虎猫 я") == [Run("U+864E U+732B U+044F", OWN)]


@needs_dejavu
def test_a_text_with_other_letters_is_wholly_in_a_font_that_has_them(only_dejavu):
    assert runs_of("Égyptian кошка") == [Run("Égyptian кошка", DEJAVU)]


@needs_dejavu
def test_where_no_font_has_all_letters_each_is_in_one_that_has_it(only_dejavu):
    with pytest.warns(DeconvNetWarning, match="U\\+732B"):
        assert runs_of("cat кот 猫!") == [Run("cat ", OWN), Run("кот", DEJAVU), Run(" U+732B!", OWN)]


@needs_dejavu
def test_fonts_of_the_system_are_found_with_fontconfig_and_without(monkeypatch):
    for command in (fonts.shutil.which("fc-list"), None):
        monkeypatch.setattr(fonts.shutil, "which", lambda name, command=command: command)
        fonts._system_face.cache_clear()
        (run,) = runs_of("кошка")
        assert run.face != OWN and ImageFont.truetype(str(run.face.path), 12, run.face.index).getlength("кошка") > 20


def test_a_fontconfig_that_fails_is_passed_over(monkeypatch, tmp_path):
    broken = tmp_path / "fc-list"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(fonts.shutil, "which", lambda name: str(broken))
    assert fonts._listed_by_fontconfig(frozenset("я")) is None


def test_files_that_are_not_fonts_are_passed_over(monkeypatch, tmp_path):
    (tmp_path / "a.ttf").write_bytes(b"not a font")
    (tmp_path / "b.ttc").write_bytes(b"")
    monkeypatch.setattr(fonts, "_candidates", lambda letters: fonts._faces_below((tmp_path,)))
    with pytest.warns(DeconvNetWarning, match="U\\+044F"):
        assert runs_of("я") == [Run("U+044F", OWN)]


@needs_dejavu
def test_a_font_of_boxes_in_place_of_letters_is_not_taken(monkeypatch):
    folder = DEJAVU.path.parent
    if not list(folder.glob("LastResort*")):
        pytest.skip("this matplotlib brings no font of boxes")
    monkeypatch.setattr(fonts, "_candidates", lambda letters: fonts._faces_below((folder,)))
    with pytest.warns(DeconvNetWarning, match="U\\+732B"):
        assert runs_of("猫") == [Run("U+732B", OWN)]


def test_upright_fonts_of_one_weight_come_first():
    names = ["DejaVuSans-Bold", "LiberationSerif-Regular", "NotoSansCJK-Regular", "DejaVuSans", "DejaVuSansMono"]
    assert [face.path.stem for face in sorted((Face(Path(name + ".ttf")) for name in names), key=fonts._order)] == [
        "DejaVuSans", "NotoSansCJK-Regular", "DejaVuSans-Bold", "DejaVuSansMono", "LiberationSerif-Regular"
    ]  # fmt: skip


def test_no_torch_is_imported_to_draw():
    code = "import sys; from deconvnet.pictures import figure, pdf, sheets, svg"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"],
        capture_output=True, text=True, check=True, env={**os.environ},
    )  # fmt: skip
    assert done.stdout.strip() == "False"
