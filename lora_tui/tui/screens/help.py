"""What the keys do on the present screen, the focused widget's first; `/` narrows it down."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static

from lora_tui.tui.columns import dash, left
from lora_tui.tui.row_text import wrapped
from lora_tui.tui.widgets.key_bar import KeyBar, key_name
from lora_tui.tui.widgets.row_list import PlainRow, RowList

_KEYS = 18
_DOES = 51  # what the box leaves for what they do
_BESIDE = _KEYS + 7  # taken by keys, borders and margins
_RULES = "Where the advice comes from"
_NO_USE = ("scroll_", "page_left", "page_right", "copy_text", "focus_")  # bound by Textual itself


@dataclass(frozen=True, slots=True)
class Key:
    """Keys that do the same, what they do, and for which part of the screen."""

    keys: str
    does: str
    where: str


class HelpScreen(ModalScreen[None]):
    """A list of keys, scrolled and narrowed like any other list."""

    CSS_PATH = ["dialog.tcss", "help.tcss"]
    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "find"),
        Binding("escape", "back", "back"),
        Binding("q,question_mark,f1", "leave", "close", show=False),
    ]

    def __init__(self, keys: Sequence[Key], about: str) -> None:
        """Keys in the order to show them, and sentences about where one is."""
        super().__init__()
        self._keys = keys
        self._about = about

    @classmethod
    def about(cls, screen: Screen[Any]) -> "HelpScreen":
        """Help for `screen` as it is now."""
        focused = screen.focused
        nodes = [screen, *([focused] if focused is not None else [])]
        texts = [" ".join(node.HELP.split()) for node in nodes if node.HELP]
        rows = [Key(name, says, _RULES) for name, says in getattr(screen, "HELP_ROWS", ())]
        return cls([*active_keys(screen), *rows], "\n".join(dict.fromkeys(texts)))

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content("Help")
            yield Static(Content(self._about), id="text")
            yield RowList()
            yield Input(placeholder="show only keys that hold this text", compact=True)
            yield KeyBar()

    def on_mount(self) -> None:
        """Show all keys."""
        self.query_one(Input).display = False
        self._show("")

    def _show(self, wanted: str) -> None:
        fitting = [key for key in self._keys if wanted in f"{key.keys} {key.does}".lower()]
        lines = []
        for place in dict.fromkeys(key.where for key in fitting):
            lines.append(Content.assemble((place, "$foreground-muted")))
            lines += [
                Content.assemble((left(name, _KEYS), "bold $text-primary"), part)
                for key in fitting
                if key.where == place
                for name, part in _wrapped(key, min(_DOES, self.app.size.width - _BESIDE))
            ]
        rows = [PlainRow(f"{at} {line.plain}", line) for at, line in enumerate(lines)]
        self.query_one(RowList).show(rows, empty="No key like that. esc goes back.")

    @on(Input.Changed)
    def narrow(self, event: Input.Changed) -> None:
        """Filter while the text is typed."""
        self._show(event.value.strip().lower())

    @on(Input.Submitted)
    def take(self) -> None:
        """Go on in what was found."""
        self.set_focus(self.query_one(RowList))

    def action_find(self) -> None:
        field = self.query_one(Input)
        field.display = True
        self.set_focus(field)  # at once: over a slow line keys arrive in bursts

    def action_back(self) -> None:
        """Leave the filter first, then the help."""
        field = self.query_one(Input)
        if not field.display:
            self.dismiss()
            return
        field.value = ""
        field.display = False
        self.take()

    def action_leave(self) -> None:
        self.dismiss()


def _wrapped(key: Key, width: int) -> Iterator[tuple[str, str]]:
    """A line for a key; as many as it takes for a rule."""
    parts = [key.does] if key.where != _RULES else wrapped(key.does, width)
    for at, part in enumerate(parts):
        yield ("" if at else key.keys), part


def active_keys(screen: Screen[Any]) -> list[Key]:
    """The bindings that do something now, those with the same effect in one line."""
    found: dict[tuple[str, str], tuple[list[str], Binding]] = {}
    bindings = screen.active_bindings.values()
    for active in sorted(bindings, key=lambda active: not active.binding.show):
        name = active.binding.action.rpartition(".")[2]
        if not active.enabled or not active.binding.description or name.startswith(_NO_USE):
            continue
        place = (_name_of(active.node, screen), name)
        keys, _ = found.setdefault(place, ([], active.binding))
        name = key_name(active.binding) if not keys else _plain_name(active.binding)
        if name not in keys:
            keys.append(name)
    order = ("Here, where the cursor is", "On this screen", "Everywhere")
    lines = [
        Key(" ".join(names), _says(said), where) for (where, _), (names, said) in found.items()
    ]
    return sorted(lines, key=lambda line: order.index(line.where))


def _plain_name(binding: Binding) -> str:
    return key_name(Binding(binding.key, binding.action, binding.description))


def _says(binding: Binding) -> str:
    """The word in the key bar, and the sentence behind it."""
    word, why = binding.description.lower(), binding.tooltip
    return f"{word}{dash()}{why[0].lower()}{why[1:]}" if why else word


def _name_of(node: DOMNode, screen: Screen[Any]) -> str:
    if node is screen:
        return "On this screen"
    return "Everywhere" if node is screen.app else "Here, where the cursor is"
