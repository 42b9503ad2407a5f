"""A few lines about what is under the cursor of the home screen."""

from textual.content import Content
from textual.widgets import Static

from lora_tui.core.plain import moment
from lora_tui.core.queue import Ticket
from lora_tui.core.summary import Headline
from lora_tui.core.text import one_line
from lora_tui.jobs import slurm
from lora_tui.tui.columns import cut, dash, dot, plain
from lora_tui.tui.widgets.preset_list import PresetRow


class Detail(Static):
    """When to pick a preset; what became of a run."""

    DEFAULT_CSS = """
    Detail { height: 3; padding: 0 1; color: $text-muted; }
    """

    def show_preset(self, row: PresetRow | None) -> None:
        """Describe a preset, and say plainly when it needs the Hub."""
        if row is None:
            self._say("", "")
            return
        entry = row.entry
        if entry.preset is None:
            number = len(entry.problems)
            self._say(
                entry.name, f"{number} {'problem' if number == 1 else 'problems'}; enter tells"
            )
            return
        missing = " and ".join(row.missing)
        lost = "".join(f"{problem}. " for problem in row.lost)
        needs = f" Needs the Hub, or local copies, for {missing}." if missing else ""
        own = "" if entry.shipped else "Yours. "
        self._say(entry.name, f"{lost}{own}{entry.preset.description}{needs}")

    def show_run(self, line: Headline | None) -> None:
        """Say when a run began, and the whole reason of a failure."""
        if line is None:
            self._say("", "")
            return
        facts = [line.run.id]
        if line.created is not None:
            facts.append(moment(line.created, "%d %b %H:%M"))
        if line.ticket:
            facts.append("held; P releases it" if line.ticket.held else "P holds it")
            facts.append(_place(line.ticket))
        if line.failure:
            facts.append(line.failure["summary"])
        self._say(line.name, dot().join(facts))

    def _say(self, name: str, text: str) -> None:
        name, said = plain(one_line(name)), plain(one_line(text))
        # Lines break at words, so the last cells of each may stay empty.
        said = cut(said, max(20, self.size.height * (self.size.width - 8) - len(name) - 3))
        content = Content.assemble((name, "bold $text"), f"{dash()}{said}") if name else Content("")
        if content != self.content:
            self.update(content)


def _place(ticket: Ticket) -> str:
    """What is to know of a run's place in the queue; SLURM has a queue of its own."""
    if not ticket.slurm:
        return "< and > move it in the queue"
    slurm.look_aside()
    return slurm.standing(ticket.run)
