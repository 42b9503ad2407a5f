"""The wheel carries the presets and the demo's assets, and nothing that is only for us."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def files_under(folder: Path) -> set[str]:
    """Paths below a folder, caches left out."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)) for p in files if "__pycache__" not in p.parts}


@pytest.fixture(scope="module")
def names_in_wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_presets_are_inside_the_package(names_in_wheel: set[str]) -> None:
    shipped = {f"lora_tui/presets/{name}" for name in files_under(ROOT / "presets")}
    assert any(name.endswith(".toml") for name in shipped)
    assert shipped <= names_in_wheel


def test_the_whole_package_is_there(names_in_wheel: set[str]) -> None:
    package = {f"lora_tui/{name}" for name in files_under(ROOT / "lora_tui")}
    assert any(name.startswith("lora_tui/assets/") for name in package)
    assert package <= names_in_wheel


def test_nothing_else_is_there(names_in_wheel: set[str]) -> None:
    top = {name.partition("/")[0] for name in names_in_wheel}
    assert {name for name in top if not name.endswith(".dist-info")} == {"lora_tui"}
    assert not {name for name in names_in_wheel if name.endswith((".pyc", ".swp"))}
