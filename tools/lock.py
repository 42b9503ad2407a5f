"""Writes requirements.lock and requirements-cuda.lock from pyproject.toml (`make lock`).

One resolution for every supported Python and processor, split in two: requirements.lock is what
every machine installs, requirements-cuda.lock is what a box with an NVIDIA GPU installs on top
(torch's CUDA build and what Unsloth wants beside it). Both are complete, so tools/setup.py
installs them with --no-deps and every file is checked against its hash.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# On a CPU these are gigabytes for nothing, and triton without a GPU breaks TRL's trainer.
GPU_ONLY = re.compile(
    r"(torch|torchvision|torchao|triton|xformers|bitsandbytes|diffusers|cuda-.*|nvidia-.*)$"
)
HEADER = """\
# {title}
# Written by `make lock` from pyproject.toml: change the pins there. Complete: install with
#   pip install --no-deps --require-hashes -r {name}
"""
BASE_TITLE = "Every package but torch, for every machine. No CUDA, no triton."
CUDA_TITLE = """\
What a box with an NVIDIA GPU gets on top of requirements.lock: torch's CUDA build and what
# Unsloth asks for beside it. Chosen by the packages' own metadata; not yet run on a GPU."""
SUPPORTED_EVERYWHERE = "python_full_version < '3.15' and sys_platform == 'linux'"
LOCKS = BASE_LOCK, CUDA_LOCK = ("requirements.lock", "requirements-cuda.lock")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")


def uv(*arguments: str) -> None:
    """Runs the pinned uv without this project's virtual environment in its way."""
    subprocess.run([sys.executable, "-m", "uv", "--quiet", *arguments], check=True, cwd=ROOT)


def install_uv() -> None:
    """Puts the uv that pyproject.toml pins into the environment that runs this."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = project["optional-dependencies"]["lock"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *pins]
    subprocess.run(command, check=True)


def resolve(output: Path) -> None:
    """Resolves everything, CUDA included, once for all Pythons and both processors.

    What `output` already pins stays, as long as it fits.
    """
    extras = ("--extra", "unsloth", "--extra", "dev")
    uv(
        *("pip", "compile", "pyproject.toml", *extras, "--universal", "--generate-hashes"),
        *("--fork-strategy", "fewest", "--no-build", "--no-header"),
        *("--output-file", str(output)),
    )


def packages_in(lock: str) -> dict[str, str]:
    """Each package's lines (pin, hashes, who asked for it) by its name."""
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    return {re.match(r"[a-z0-9-]+", entry)[0]: entry for entry in entries if entry.strip()}  # type: ignore[index]  # each entry has a name


def asked_for_by(entry: str) -> set[str]:
    """The names in an entry's "via" comment."""
    comment = "\n".join(line for line in entry.splitlines() if line.startswith("    #"))
    return set(re.findall(r"#\s+(?:via\s+)?([a-z0-9-]+)", comment)) - {"via"}


def split(packages: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What every machine needs, and what only a GPU box needs."""
    gpu = {name for name in packages if GPU_ONLY.match(name)}
    while True:
        # torch's own requirements are wanted with its CPU build too.
        parents = gpu - {"torch"}
        more = {n for n, entry in packages.items() if asked_for_by(entry) <= parents} - gpu
        if not more:
            break
        gpu |= more
    everyone = {name: entry for name, entry in packages.items() if name not in gpu}
    return everyone, {name: packages[name] for name in packages if name in gpu}


def write(name: str, title: str, packages: dict[str, str]) -> None:
    """Writes one lock; a marker that holds wherever the lock is used is left out."""
    body = "".join(packages.values()).replace(f" ; {SUPPORTED_EVERYWHERE} \\", " \\")
    (ROOT / name).write_text(HEADER.format(title=title, name=name) + body)
    print(f"{name}: {len(packages)} packages")


def check_wheels(name: str) -> None:
    """Asks the index whether each Python and processor has a wheel for everything."""
    for python in PYTHONS:
        for platform in PLATFORMS:
            print(f"{name}: Python {python}, {platform.split('-')[0]}")
            with tempfile.TemporaryDirectory() as target:
                uv(
                    *("pip", "install", "--dry-run", "--no-deps", "--require-hashes"),
                    *("--only-binary", ":all:", "--target", target, "-r", name),
                    *("--python-version", python, "--python-platform", platform),
                )


def main() -> None:
    install_uv()
    with tempfile.TemporaryDirectory() as folder:
        resolved = Path(folder) / "resolved.txt"
        if "--upgrade" not in sys.argv[1:]:
            resolved.write_text(
                "".join((ROOT / n).read_text() for n in LOCKS if (ROOT / n).exists())
            )
        resolve(resolved)
        everyone, gpu = split(packages_in(resolved.read_text()))
    write(BASE_LOCK, BASE_TITLE, everyone)
    write(CUDA_LOCK, CUDA_TITLE, gpu)
    for name in LOCKS:
        check_wheels(name)


if __name__ == "__main__":
    main()
