"""The chat engine: a base stays loaded, and its members answer what they are asked."""

from pathlib import Path

from lora_tui.core import runs
from lora_tui.core.members import Member
from lora_tui.engine import job
from lora_tui.engine.chat_requests import Requests
from lora_tui.engine.job import Job, with_torch
from lora_tui.engine.stopping import StopRequested

_STDIN = 0


def main(folder: Path) -> int:
    """Answer what standard input asks of the members that `run.json` in `folder` names."""
    return job.execute(folder, work)


def work(begun: Job) -> None:
    """Load, then answer until the input ends: whoever asked has closed the chat, or is gone."""
    requests = Requests(_STDIN, lambda why: begun.warn(f"A request was not understood: {why}."))
    members = runs.read_info(begun.run)["options"]["members"]
    try:
        current = with_torch(begun)
        from lora_tui.engine.chat_table import Table

        table = Table(current, [Member.from_document(one) for one in members])
        while True:
            begun.emit("ready")
            table.do(requests.next())
    except StopRequested:
        if not requests.ended:
            raise
        begun.end("finished")
