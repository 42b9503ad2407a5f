"""A SLURM of one node in a folder of its own: no systemd, no munge, no cgroups, loopback only."""

import os
import platform
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from tools.terminal import wait_until

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
_CONFIGURATION = """\
ClusterName=test
GresTypes=gpu
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=60
MailProg=/bin/true
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={node} NodeAddr=127.0.0.1 CPUs=1 Gres=gpu:1 State=UNKNOWN
PartitionName=low Nodes={node} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes={node} MaxTime=INFINITE State=UP PriorityTier=2
"""


def missing() -> list[str]:
    """Which of SLURM's programs are not installed."""
    return [name for name in PROGRAMS if _program(name) is None]


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Slurm:
    """A controller and one node with one core; use it as a context manager.

    Jobs of the partition `high` preempt those of `low`, which SLURM then requeues.
    """

    def __init__(self, folder: Path) -> None:
        """Write the configuration into `folder`; nothing is started."""
        self._folder = folder
        self.configuration = folder / "slurm.conf"
        for name in ("state", "spool"):
            (folder / name).mkdir()
        self.configuration.write_text(
            _CONFIGURATION.format(
                node=platform.node().partition(".")[0],
                controller_port=_free_port(),
                node_port=_free_port(),
                user=pwd.getpwuid(os.getuid()).pw_name,
                folder=folder,
            )
        )
        # A GPU to be asked for; what computes under it sees only its number.
        (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """What SLURM's commands need to find it."""
        return {"SLURM_CONF": str(self.configuration)}

    def __enter__(self) -> Self:
        """Start both, and wait until the node takes jobs."""
        self.start("slurmctld")
        self.start("slurmd")
        self.wait_until_idle()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything that was started, jobs included, by its process ids."""
        node = psutil.Process(self._processes["slurmd"].pid)
        steps = _steps(self._folder)
        below = [one for step in steps for one in (*step.children(recursive=True), step)]
        for process in (*below, *node.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for name in tuple(self._processes):
            self.kill(name)

    def start(self, name: str) -> None:
        """Start the controller (slurmctld) or the node (slurmd)."""
        program = _program(name)
        assert program is not None
        with (self._folder / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [program, "-D"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """Let one of them end without a word."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def crash_controller(self, job: str) -> None:
        """Kill the controller and start it anew, once it has saved what it knows of `job`."""
        saved = self._folder / "state" / "job_state"
        before = saved.stat().st_mtime_ns
        name = self.ask("squeue", "--noheader", f"--jobs={job}", "--format=%j")
        self.ask("scontrol", "update", f"jobid={job}", f"JobName={name}")  # it saves what changes
        wait_until(lambda: saved.stat().st_mtime_ns > before, 60, "the controller saves nothing")
        self.kill("slurmctld")
        self.start("slurmctld")
        wait_until(lambda: bool(self.state(job)), 60, "the controller does not come back")

    def wait_until_idle(self) -> None:
        """Wait until the node is there and has nothing to do."""
        wait_until(lambda: self.ask("sinfo", "-h", "-o", "%T").split()[:1] == ["idle"], 60, "idle")

    def ask(self, *command: str) -> str:
        """What one of its commands prints; empty while the controller is away."""
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, **self.environment},
        )
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """A job's state as SLURM sees it; empty for one that it forgot."""
        return self.ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")


def _steps(folder: Path) -> list[psutil.Process]:
    """The processes that watch over jobs: they are nobody's children, and write the node's log."""
    found = []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):
            if "slurmstepd" in process.info["name"] and any(
                Path(file.path).is_relative_to(folder) for file in process.open_files()
            ):
                found.append(process)
    return found
