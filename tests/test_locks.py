"""The locks say what pyproject.toml says, are complete, and name no machine."""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = ["requirements.lock", "requirements-cuda.lock"]
# Asked for by Unsloth and torch, and only for a GPU.
GPU_ONLY = re.compile(
    r"(torch|torchvision|torchao|triton|xformers|bitsandbytes|diffusers|cuda-.*|nvidia-.*)$"
)


def pins_in(name: str) -> dict[str, str]:
    """The version of each package in a lock."""
    lock = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", lock, flags=re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_names_and_hashes_only(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    code = [line for line in lines if line and not line.lstrip().startswith("#")]
    pin = re.compile(r"[a-z0-9-]+==[^\s;]+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert not [line for line in code if not pin.fullmatch(line)]
    assert not [line for line in lines if "://" in line]


def test_a_machine_without_a_gpu_gets_nothing_for_one() -> None:
    assert not [name for name in pins_in("requirements.lock") if GPU_ONLY.match(name)]


def test_the_locks_hold_what_pyproject_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pinned = [*project["dependencies"], *extras["unsloth"], *extras["dev"]]
    locked = pins_in("requirements-cuda.lock") | pins_in("requirements.lock")
    wrong = [
        str(pin)
        for pin in map(Requirement, pinned)
        if pin.specifier != f"=={locked.get(canonicalize_name(pin.name))}"
    ]
    assert not wrong, "run make lock"


def test_the_lock_is_complete() -> None:
    locked = pins_in("requirements.lock")
    missing = []
    for name in [*locked, "torch"]:
        for needed in map(Requirement, requires(name) or []):
            wanted = canonicalize_name(needed.name)
            if needed.marker and not needed.marker.evaluate({"extra": ""}):
                continue
            if wanted in locked and (wanted == "certifi" or locked[wanted] in needed.specifier):
                continue
            if not GPU_ONLY.match(wanted):
                missing.append(f"{name} needs {needed}")
    assert not missing
