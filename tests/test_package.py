"""The package as a whole: its public names, what importing it costs, what its wheel holds."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import deconvnet
import deconvnet.captum_api
import deconvnet.learn
import deconvnet.probes
import deconvnet.training
from deconvnet import _errors

SOURCE = Path(deconvnet.__file__).parent
ROOT = SOURCE.parent.parent
PACKAGES = [deconvnet, deconvnet.captum_api, deconvnet.learn, deconvnet.probes, deconvnet.training]


def run_python(code: str, *, path: Path = SOURCE.parent) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, cwd=path
    )
    return done.stdout.strip()


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_sorted_and_can_be_had(package):
    assert list(package.__all__) == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_has_the_name_of_what_is_public(package):
    # once such a module is imported, it is what the package has under the name
    modules = {path.stem for path in Path(package.__file__).parent.iterdir()}
    assert modules.isdisjoint(package.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_read_the_same_names(package):
    stub = ast.parse(Path(package.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imported = [node for node in ast.walk(stub) if isinstance(node, ast.ImportFrom)]
    homes = {alias.asname: f"{node.module}" for node in imported for alias in node.names}
    assert sorted(homes) == package.__all__
    assert homes == {name: f"{package.__name__}.{home}" for name, home in package._HOMES.items()}


def test_every_exception_is_public():
    classes = [value for value in vars(_errors).values() if isinstance(value, type)]
    assert {value.__name__ for value in classes if issubclass(value, Exception)} <= set(deconvnet.__all__)


def test_importing_the_package_imports_no_torch():
    assert run_python("import sys, deconvnet; dir(deconvnet); print('torch' in sys.modules)") == "False"


def test_the_version_and_the_exceptions_need_no_torch():
    code = "import sys, deconvnet as d; d.__version__, d.PhotoError, d.Unit; print('torch' in sys.modules)"
    assert run_python(code) == "False"


def test_an_unknown_name_is_an_ordinary_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'deconvnet' has no attribute 'deconv'$"):
        deconvnet.deconv  # noqa: B018
    assert not hasattr(deconvnet, "deconv")


def test_the_wheel_holds_everything_and_works_alone(tmp_path):
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the tests run on an installed package, without the source tree to build it from")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        held = {name.removeprefix("deconvnet/") for name in archive.namelist()}
        archive.extractall(tmp_path / "unpacked")
    kept = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert kept <= held
    assert {"py.typed", "__init__.pyi", "models/labels/imagenet.txt"} <= held
    where = run_python("import deconvnet; print(deconvnet.__file__)", path=tmp_path / "unpacked")
    assert where == str(tmp_path / "unpacked" / "deconvnet" / "__init__.py")
