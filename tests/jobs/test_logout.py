"""What a logout does, told from folders as distributions ship them."""

from pathlib import Path

import pytest

from lora_tui.core.items import Item
from lora_tui.jobs import logout

SESSION = "0::/user.slice/user-1000.slice/session-3.scope\n"
OLD_SESSION = "12:cpu:/\n1:name=systemd:/user.slice/user-1000.slice/session-c2.scope\n"
MANAGER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope\n"
DEBIAN = "[Login]\n#NAutoVTs=6\n#KillUserProcesses=no\n#KillExcludeUsers=root\n"
UPSTREAM = DEBIAN.replace("Processes=no", "Processes=yes")
MAIN, VENDOR = "etc/systemd/logind.conf", "usr/lib/systemd/logind.conf"


def look(root: Path, files: dict[str, str], user: str = "ann") -> Item | None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return logout.look(root, user)


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ({MAIN: DEBIAN}, "green"),
        ({MAIN: UPSTREAM}, "yellow"),
        ({VENDOR: UPSTREAM}, "yellow"),
        ({VENDOR: UPSTREAM, MAIN: "[Login]\nKillUserProcesses=no\n"}, "green"),
        ({VENDOR: DEBIAN, MAIN: "#KillUserProcesses=yes\n"}, "green"),
        ({VENDOR: "KillUserProcesses=yes\n", MAIN: DEBIAN}, "green"),
        ({MAIN: DEBIAN, "etc/systemd/logind.conf.d/9.conf": "KillUserProcesses = 1\n"}, "yellow"),
        (
            {
                MAIN: DEBIAN,
                "usr/lib/systemd/logind.conf.d/50.conf": "KillUserProcesses=yes\n",
                "etc/systemd/logind.conf.d/50.conf": "",
            },
            "green",
        ),
        (
            {
                MAIN: DEBIAN,
                "run/systemd/logind.conf.d/20.conf": "KillUserProcesses=yes\n",
                "etc/systemd/logind.conf.d/10.conf": "KillUserProcesses=no\n",
            },
            "yellow",
        ),
        ({MAIN: UPSTREAM + "KillExcludeUsers=root ann\n"}, "green"),
        ({MAIN: UPSTREAM + "KillOnlyUsers=bob\n"}, "green"),
        ({MAIN: UPSTREAM + "KillOnlyUsers=bob ann\n"}, "yellow"),
        ({}, "yellow"),
    ],
)
@pytest.mark.parametrize("group", [SESSION, OLD_SESSION])
def test_a_login_session_goes_by_what_logind_reads(
    tmp_path: Path, files: dict[str, str], status: str, group: str
) -> None:
    found = look(tmp_path, {**files, "proc/self/cgroup": group})
    assert found is not None and found.status == status, found


def test_root_is_spared_unless_the_list_is_emptied(tmp_path: Path) -> None:
    files = {MAIN: "KillUserProcesses=yes\n", "proc/self/cgroup": SESSION}
    spared = look(tmp_path, files, "root")
    assert spared is not None and spared.status == "green"
    meant = look(tmp_path, {MAIN: "KillUserProcesses=yes\nKillExcludeUsers=\n"}, "root")
    assert meant is not None and meant.status == "yellow"


def test_the_remedy_leaves_the_session_for_a_manager_that_stays(tmp_path: Path) -> None:
    files = {MAIN: UPSTREAM, "proc/self/cgroup": SESSION}
    found = look(tmp_path, files)
    assert found is not None and "session-3.scope" in found.detail
    assert "loginctl enable-linger, then systemd-run --user --scope lora-tui" in found.remedy
    lingering = look(tmp_path, {"var/lib/systemd/linger/ann": ""})
    assert lingering is not None and lingering.status == "yellow", "lingering spares no session"
    assert "enable-linger" not in lingering.remedy and "systemd-run" in lingering.remedy


def test_under_the_users_manager_lingering_decides(tmp_path: Path) -> None:
    files = {MAIN: DEBIAN, "proc/self/cgroup": MANAGER}
    found = look(tmp_path, files)
    assert found is not None and found.status == "yellow"
    assert found.remedy == "loginctl enable-linger"
    lingering = look(tmp_path, {"var/lib/systemd/linger/ann": "", MAIN: UPSTREAM})
    assert lingering is not None and lingering.status == "green"


@pytest.mark.parametrize(
    "group",
    ["0::/\n", "0::/system.slice/slurmstepd.scope/job_7/step_0/user\n", "0::/docker/4f\n", ""],
)
def test_where_nobody_is_logged_in_there_is_nothing_to_say(tmp_path: Path, group: str) -> None:
    assert look(tmp_path, {MAIN: UPSTREAM, "proc/self/cgroup": group}) is None
