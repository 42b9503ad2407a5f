"""Makes .venv ready: the locked packages, this machine's torch, and the project itself, editable.

`make` runs it when pyproject.toml or a lock is newer than the stamp. It does only what changed, so
that touching a tool's settings costs nothing. TORCH picks the torch:

  auto    cuda where nvidia-smi lists a GPU, else cpu; later runs keep what is there (the default)
  cpu     the CPU build
  cuda    the package index's CUDA build, and what Unsloth wants beside it on a GPU
  system  the torch that this machine's Python already has (a GPU image, ROCm, a cluster module)

Standard library only, and old syntax at the top: any Python 3 may be the first to run it.
"""

import sys

if sys.version_info < (3, 11):
    import os
    import shutil

    for _name in ("python3.13", "python3.12", "python3.11"):
        if shutil.which(_name):
            os.execvp(_name, [_name, *sys.argv])
    sys.exit("lora-tui needs Python 3.11 or newer: put one on PATH, or run make PYTHON=/path/to/it")

import hashlib
import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STATE = VENV / ".state.json"  # what is done already
READY = VENV / ".ready"  # the file whose date make looks at
BASE_LOCK = ROOT / "requirements.lock"
CUDA_LOCK = ROOT / "requirements-cuda.lock"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST_TORCH, TOO_NEW_TORCH = (2, 4), (2, 15)  # Unsloth's own range
MODES = ("auto", "cpu", "cuda", "system")
WHEELS = ("--only-binary", ":all:")  # nothing is ever compiled


def run_pip(*arguments: str, show: bool = True) -> bool:
    """Runs the environment's pip and says whether it worked."""
    command = [str(VENV / "bin/python"), "-m", "pip", "install", "--no-input", "--no-deps"]
    # Downloads can be gigabytes: show them to a person, not to a log.
    quiet = [] if show and sys.stdout.isatty() else ["-qq"]
    command += ["--disable-pip-version-check", *quiet, *arguments]
    done = subprocess.run(command, capture_output=not show, stdin=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def pip(*arguments: str) -> None:
    if not run_pip(*arguments):
        sys.exit("\nset-up stopped: pip failed (above); run the same make again to go on")


def has_nvidia_gpu() -> bool:
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listing.returncode == 0 and "GPU" in listing.stdout


def install_cpu_torch(pin: str) -> None:
    """Takes the CPU build from the configured indexes, else from PyTorch's public one."""
    if run_pip(*WHEELS, f"{pin}+cpu", show=False):
        return
    print(f"  the configured package index has no {pin}+cpu: asking {CPU_INDEX}", flush=True)
    pip(*WHEELS, "--index-url", CPU_INDEX, f"{pin}+cpu")


def check_system_torch(python: str) -> None:
    """Says which torch a Python has, and refuses one that Unsloth does not take."""
    code = "import torch; print(torch.__version__)"
    command = [python, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(
            f"TORCH=system, but {python} has no torch that imports (make PYTHON=... names another)"
        )
    version = found.stdout.strip()
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2])
    if not OLDEST_TORCH <= numbers < TOO_NEW_TORCH:
        sys.exit(f"TORCH=system: torch {version} is outside 2.4 to 2.14, which Unsloth needs")
    print(f"set-up: {python} has torch {version}", flush=True)


def install_torch(mode: str, pin: str) -> None:
    if mode == "cpu":
        install_cpu_torch(pin)
    elif mode == "cuda":
        pip(*WHEELS, "--require-hashes", "-r", str(CUDA_LOCK))
    else:
        check_system_torch(str(VENV / "bin/python"))
        if has_nvidia_gpu():
            install_gpu_packages("bitsandbytes")  # the one that no torch build is tied to


def install_gpu_packages(*names: str) -> None:
    """Installs a few of the CUDA lock's packages, the box's own torch being used."""
    entries = re.split(r"^(?=[a-z0-9])", CUDA_LOCK.read_text(), flags=re.MULTILINE)
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as some:
        some.writelines(entry for entry in entries if entry.startswith(tuple(names)))
        some.flush()
        pip(*WHEELS, "--require-hashes", "-r", some.name)


def read_state() -> dict[str, str]:
    try:
        state: dict[str, str] = json.loads(STATE.read_text())
    except (OSError, ValueError):
        return {}
    return state


def choose_mode(asked: str, state: dict[str, str]) -> str:
    if asked not in MODES:
        sys.exit(f"TORCH={asked}: choose one of {', '.join(MODES)}")
    if asked != "auto":
        return asked
    return state.get("mode") or ("cuda" if has_nvidia_gpu() else "cpu")


def environment_fits(state: dict[str, str], mode: str) -> bool:
    """Whether .venv can be kept: it runs, lies where it was made, and holds no other torch."""
    try:
        settings = (VENV / "pyvenv.cfg").read_text()
        subprocess.run([VENV / "bin/python", "-c", ""], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    sees_system = "include-system-site-packages = true" in settings
    same_place = state.get("place", str(VENV)) == str(VENV)
    return same_place and state.get("mode", mode) == mode and sees_system == (mode == "system")


def make_environment(*, system: bool) -> None:
    try:
        venv.create(VENV, clear=True, with_pip=True, system_site_packages=system, symlinks=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit("this Python cannot make environments: on Debian or Ubuntu, install python3-venv")
    if system and sys.prefix != sys.base_prefix:
        # The box's torch lies in an environment itself, which venv would look past.
        link = Path(sysconfig.get_path("purelib", vars={"base": str(VENV)})) / "_system.pth"
        link.write_text(sysconfig.get_path("purelib") + "\n")


def main() -> None:
    state = read_state()
    mode = choose_mode(os.environ.get("TORCH") or "auto", state)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = settings["project"]
    torch_pin = next(pin for pin in project["dependencies"] if pin.startswith("torch=="))
    if not environment_fits(state, mode):
        if mode == "system":
            check_system_torch(sys.executable)
        print(f"set-up: new environment {VENV.name}, torch: {mode}", flush=True)
        make_environment(system=mode == "system")
        state = {}
    state |= {"mode": mode, "place": str(VENV)}

    def step(name: str, title: str, work: Callable[[], None], *depends_on: object) -> None:
        """Does the work if what it depends on changed, and remembers that it is done."""
        digest = hashlib.sha256(repr(depends_on).encode()).hexdigest()
        if state.get(name) != digest:
            print(f"set-up: {title}", flush=True)
            work()
            state[name] = digest
        STATE.write_text(json.dumps(state, indent=1))

    step(
        *("packages", "the locked packages (a few hundred MB, some minutes)"),
        lambda: pip(*WHEELS, "--require-hashes", "-r", str(BASE_LOCK)),
        BASE_LOCK.read_text(),
    )
    cuda_lock = CUDA_LOCK.read_text() if mode == "cuda" else ""
    step("torch", f"torch ({mode})", lambda: install_torch(mode, torch_pin), torch_pin, cuda_lock)
    step(
        *("project", "lora-tui itself, editable"),
        lambda: pip("--no-build-isolation", "--no-index", "--editable", str(ROOT)),
        *(project, settings["build-system"], settings["tool"]["hatch"]),
    )
    READY.touch()


if __name__ == "__main__":
    main()
