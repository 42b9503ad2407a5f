"""Whether a logout would end what runs here: what systemd-logind does with a user's processes.

A session of its own (setsid) is no help: logind ends a whole control group. Where a process is in
no login session, as in a container, under SLURM or as a service, a logout does not reach it.
"""

import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path

from lora_tui.core.items import Item

_SESSION = re.compile(r"/(session-[^/\s]+\.scope)")
_MANAGER = re.compile(r"/(user@\d+\.service)")
_FOLDERS = ("usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd")
"""Where logind's settings lie; what comes later counts more."""

_OUTSIDE = "systemd-run --user --scope lora-tui"
_LINGER = "loginctl enable-linger"


def look(root: Path = Path("/"), user: str | None = None) -> Item | None:
    """What a logout does to runs started here; None where there is no login session.

    Args:
        root: Where the file system begins.
        user: Whose processes; this process's user if None.
    """
    group = _read(root / "proc/self/cgroup")
    name = user or _user()
    lingers = (root / "var/lib/systemd/linger" / name).exists()
    if manager := _MANAGER.search(group):
        if lingers:
            return Item("logout", "green", f"runs outlive it: {name} lingers")
        detail = f"the last one ends {manager[1]} and every run in it: {name} does not linger"
        return Item("logout", "yellow", detail, _LINGER)
    session = _SESSION.search(group)
    if session is None:
        return None
    said = _settings(root)
    kills = said.get("KillUserProcesses")
    if kills is not None and not (_is_yes(kills) and _is_meant(name, said)):
        return Item("logout", "green", "runs outlive it: logind leaves them alone")
    if kills is None:
        detail = "it may end runs: nothing here says what logind's KillUserProcesses is"
    else:
        detail = f"it ends every run of {session[1]}: logind's KillUserProcesses is on"
    first = "" if lingers else f"{_LINGER}, then "  # or the user's manager would end with it
    return Item("logout", "yellow", detail, f"Start it outside the session: {first}{_OUTSIDE}")


def warning() -> str:
    """What the user has to know when a run was started here; empty if a logout is harmless."""
    found = look()
    if found is None or found.status == "green":
        return ""
    return f"A logout from this machine: {found.detail}.\n{found.remedy}"


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _settings(root: Path) -> dict[str, str]:
    """What logind goes by: its built-in values, the main file that counts, the drop-ins by name.

    Distributions build logind with values of their own, and ship a file that has them commented
    out; nothing else tells them.
    """
    mains = [path for folder in _FOLDERS if (path := root / folder / "logind.conf").is_file()]
    drop_ins = {  # one in /etc hides its namesakes
        path.name: path
        for folder in _FOLDERS
        for path in (root / folder / "logind.conf.d").glob("*.conf")
    }
    said: dict[str, str] = {}
    for path in reversed(mains):
        said.update(_lines(path, commented=True))
    for path in (*mains[-1:], *(drop_ins[name] for name in sorted(drop_ins))):
        said.update(_lines(path, commented=False))
    return said


def _lines(path: Path, *, commented: bool) -> Iterator[tuple[str, str]]:
    for line in _read(path).splitlines():
        key, separator, value = (part.strip() for part in line.partition("="))
        if separator and key.startswith("#") == commented:
            yield key.lstrip("# "), value


def _is_yes(value: str) -> bool:
    return value.lower() in {"1", "yes", "y", "true", "t", "on"}


def _is_meant(name: str, said: dict[str, str]) -> bool:
    """Whether logind ends this user's processes if it ends any."""
    if name in said.get("KillExcludeUsers", "root").split():
        return False
    only = said.get("KillOnlyUsers", "").split()
    return not only or name in only


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
