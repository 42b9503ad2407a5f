"""A chat above the line one types in: its title, its members, what was said, and one last line."""

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from lora_tui.tui import chat_words
from lora_tui.tui.chat_lines import Lines, nothing_yet
from lora_tui.tui.chat_session import Session
from lora_tui.tui.chat_watching import Frame
from lora_tui.tui.chat_words import Here
from lora_tui.tui.columns import plain
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.transcript import Transcript


class ChatFace(Vertical):
    """Shows what it is given, and keeps nothing but the lines it laid out."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = Lines()
        self._words = ""

    def compose(self) -> ComposeResult:
        yield Painting(id="title")
        yield Painting(id="members")
        yield Static(id="notice")
        with Horizontal(id="body"):
            talk = Transcript(id="talk")
            talk.add_class("pane")
            talk.border_title = Content("Conversation")
            yield talk
            yield Painting(id="column")
        yield Painting(id="foot")

    def show(self, frame: Frame, session: Session, *, is_typing: bool, is_wide: bool) -> int:
        """Show one moment in the room there is; about how many bytes that wrote."""
        here = Here(session.current, session.settings, session.is_answering, is_typing)
        width = self.size.width - 2
        title = chat_words.title(frame, session.members[0].base, width)
        self.query_one("#title", Painting).paint((title,))
        talk = self.query_one(Transcript)
        if is_wide:
            column = self.query_one("#column", Painting)
            column.paint(chat_words.column(frame, here, column.size.width - 1))
        else:
            members = self.query_one("#members", Painting)
            rows = chat_words.members(frame, here, width)
            if members.size.height != len(rows):
                members.styles.height = len(rows)
            members.paint(rows)
        self._subtitle(talk, "" if is_wide else session.settings.words())
        self.query_one("#foot", Painting).paint((chat_words.foot(frame, here, width),))
        self._show_notice(frame)
        return self._show_talk(talk, frame, session)

    def _subtitle(self, talk: Transcript, words: str) -> None:
        """Say how answers are drawn; even for the same words Textual would paint all of it anew."""
        if words != self._words:
            self._words = words
            talk.border_subtitle = Content(words)

    def _show_talk(self, talk: Transcript, frame: Frame, session: Session) -> int:
        width = talk.size.width - 2  # a blank and the scroll bar
        if width < 1:
            return 0  # there is no room yet
        rows = self._lines.of(frame.chat, session.turns, width)
        talk.show(rows or nothing_yet(frame.chat.seats, width))
        return talk.repaints

    def _show_notice(self, frame: Frame) -> None:
        failure = frame.chat.failure
        notice = self.query_one("#notice", Static)
        notice.set_class(bool(failure), "-shown")
        summary, hint = (plain(failure.get(key, "")) for key in ("summary", "hint"))
        said = Content.assemble((summary, "bold $text-error"), "\n", hint)
        if notice.content != said:
            notice.update(said)
