"""The data screen's thread: start the job, follow it, read its pages, draw, hand over frames.

No widget is touched from here: frames leave through a callback.
"""

import json
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import Event, whole
from lora_tui.core.pages import Page, Pages
from lora_tui.core.presets import Preset
from lora_tui.jobs import control, launch
from lora_tui.jobs.follow import follow
from lora_tui.tui import histogram, row_text
from lora_tui.tui.data_frames import Findings, Frame, Room, RowShown, Wish
from lora_tui.tui.log_pages import last_lines
from lora_tui.tui.look import ascii_only
from lora_tui.tui.row_head import Oddities, head
from lora_tui.tui.wanting import Wishes
from lora_tui.tui.widgets.painting import Row, Rows

_APART = 0.25  # seconds between two frames that nobody asked for
_PATIENCE = 0.3  # seconds for which a search holds up what is wished for after it


class DataWatch:
    """One data report made and shown, until the screen wants no more of it."""

    def __init__(
        self,
        preset: Preset,
        wishes: Wishes[Wish],
        show: Callable[[Frame], object],
        *,
        number: int = 0,
        is_raw: bool = False,
    ) -> None:
        """Begin at row `number`, as it came or as it is trained on."""
        self._preset, self._wishes, self._show = preset, wishes, show
        self._goal: int | None = number  # until it is there, or another is asked for
        self._at, self._is_raw = number, is_raw
        self._room, self._frame = Room(), Frame(place=(number, is_raw))
        self._oddities, self._total = Oddities(), 0
        self._due, self._is_stale = 0.0, False
        self._drawn = (0, 0)

    def run(self) -> None:
        """Hand over frames until there are no more wishes; a job still at work is killed then."""
        try:
            self._run = launch.start(self._preset, name=self._preset.name, kind="data")
        except LoraTuiError as error:
            self._hand_over(replace(self._frame, doing="", failure=(error.summary, error.hint)))
            return
        self._pages = Pages(self._run.path)
        try:
            self._follow()
            while not self._wishes.wait():
                self._answer()
        finally:
            with suppress(LoraTuiError):  # mostly because it has ended
                control.kill(self._run)

    def _follow(self) -> None:
        final: Event | None = None
        for batch in follow(self._run, self._wishes, every=0.1):
            for event in batch:
                self._note(event)
                final = event if event["kind"] in {"finished", "failed", "stopped"} else final
            self._is_stale |= self._pages_grew() or bool(batch)
            if self._is_stale or self._wishes.are_waiting:
                self._answer()
        if not self._wishes.is_set():
            self._pages_grew()
            self._end(final or {})
            if self._goal is not None:  # it never came
                self._at, self._goal = self._place_of(self._goal), None
            self._answer()

    # --- what the job tells --------------------------------------------------------------------

    def _note(self, event: Event) -> None:
        frame = self._frame
        if event["kind"] == "rows":
            rows = event.get("rows")
            first = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
            names = tuple(dict.fromkeys(str(name) for row in first for name in row))
            self._frame = replace(
                frame, doing="loading the tokenizer…", first=tuple(first), names=names
            )
        elif event["kind"] == "progress":
            done, total = whole(event.get("done")) or 0, whole(event.get("total")) or 0
            self._total = total
            self._frame = replace(frame, doing=f"reading {done:,} of {total:,}")

    def _pages_grew(self) -> bool:
        """Learn of pages written since; whether the row to be shown is another by that.

        Those found odd at the end are put in their order among the others.
        """
        before = len(self._pages)
        shown = self._pages.numbers[self._at] if self._at < before else None
        now = len(self._pages.look())
        if now == before:
            return False
        if self._goal is not None:
            if self._pages.numbers[-1] >= self._goal:
                self._at, self._goal = self._place_of(self._goal), None
                return True
            self._at = min(self._at, now - 1)
        elif shown is not None and self._pages.numbers[self._at] != shown:
            self._at = self._place_of(shown)
        return not before

    def _end(self, final: Event) -> None:
        """What came of it: findings, or why there are none."""
        failure: tuple[str, str] | None = None
        if final.get("kind") == "failed":
            failure = str(final.get("summary") or "It failed."), str(final.get("hint") or "")
        elif final.get("kind") != "finished":
            words = " ".join(last_lines(self._run.log, 3))
            failure = "The reading was ended from outside.", words or "Perhaps memory ran out."
        else:
            try:
                report = json.loads(self._run.report.read_text("utf-8"))
                findings = Findings.of(report)
                self._oddities, self._total = Oddities.of(report), int(report["rows"])
                self._frame = replace(self._frame, doing="", findings=findings)
                return
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                failure = "The report cannot be read.", f"It should be in {self._run.report}."
        self._frame = replace(self._frame, doing="", failure=failure)

    # --- what the reader wants -----------------------------------------------------------------

    def _answer(self) -> None:
        """Do what is wished for, and show what came of it."""
        asked = False
        for wish in self._wishes.take():
            self._fulfil(wish)
            asked = True
        if not asked and self._frame.doing and time.monotonic() < self._due:
            return
        row = self._row()
        number = self._goal if self._goal is not None else row.number if row else self._at
        frame = replace(self._frame, row=row, place=(number, self._is_raw))
        if frame.findings and not frame.picture:
            self._hand_over(frame)  # figures at once: importing plotext takes a while
        self._hand_over(replace(frame, picture=self._picture()))
        self._is_stale = False

    def _fulfil(self, wish: Wish) -> None:
        self._pages_grew()
        last = max(0, (len(self._pages) or len(self._frame.first)) - 1)
        if wish.kind == "room":
            self._room = wish.room
            return
        if wish.kind == "kind":
            self._is_raw = not self._is_raw
            return
        self._goal = None
        match wish.kind:
            case "by":
                self._at = min(max(min(self._at, last) + wish.by, 0), last)
            case "first":
                self._at = 0
            case "last":
                self._at = last
            case "number":
                self._go_to(wish.by, last)
            case "odd":
                self._seek_odd(wish.by)

    def _go_to(self, number: int, last: int) -> None:
        self._at = min(self._place_of(number), last)
        numbers = self._pages.numbers
        if numbers and numbers[self._at] != number:
            read = "read yet" if self._frame.doing else "kept to look at"
            self._say(f"Row {number + 1:,} is not {read}; this is the nearest that is.")

    def _place_of(self, number: int) -> int:
        """Where a row is among the pages, or the next that is there."""
        numbers = self._pages.numbers
        return min(bisect_left(numbers, number), len(numbers) - 1) if numbers else number

    def _seek_odd(self, by: int) -> None:
        """Go to the next odd row, all the way round; a new wish ends the search."""
        count, at = len(self._pages), self._at
        may_be_odd = self._oddities.any or not self._frame.findings
        until = time.monotonic() + _PATIENCE
        for _ in range(count if may_be_odd else 0):
            if self._wishes.is_set() or (self._wishes.are_waiting and time.monotonic() > until):
                return
            at = (at + by) % count
            page = self._page(at)
            if page is not None and self._oddities.is_odd(page):
                if at == self._at:
                    break
                self._at = at
                return
        page = self._page(self._at) if count else None
        here = page is not None and self._oddities.is_odd(page)
        if self._frame.doing:
            self._say(f"No {'other ' * here}row read so far is odd.")
        else:
            self._say("No other row is odd." if here else "No row is odd.")

    def _say(self, words: str) -> None:
        self._frame = replace(self._frame, said=(self._frame.said[0] + 1, words))

    def _page(self, at: int) -> Page | None:
        try:
            return self._pages[at]
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            return None  # the report was removed, or is garbage

    # --- drawing -------------------------------------------------------------------------------

    def _row(self) -> RowShown | None:
        """The present row, for the room there is."""
        first, width = self._frame.first, self._room.text
        if not width or not (len(self._pages) or first):
            return None
        if not len(self._pages):
            at = min(self._at, len(first) - 1)
            page = Page(at, f"row {at + 1:,}", first[at])
            line: Row = ((page.place, "strong"), (f" of the first {len(first)}", "muted"))
            return RowShown((at, True), at, True, line, (), row_text.raw(page.raw, width))
        found = self._page(self._at)
        if found is None:
            gone: Row = (("this row cannot be read any more", "bad"),)
            return RowShown((self._at, True), self._at, True, gone, (), ())
        is_raw = self._is_raw or not found.text
        longest = self._preset.model.max_seq_length
        text = (
            row_text.raw(found.raw, width) if is_raw else row_text.rendered(found, width, longest)
        )
        words, notes = head(found, self._total, longest, self._oddities, width)
        return RowShown((self._at, is_raw), found.number, is_raw, words, notes, text)

    def _picture(self) -> Rows:
        findings, room = self._frame.findings, self._room
        if findings is None:
            return ()
        if self._drawn == (room.width, room.height):
            return self._frame.picture
        self._drawn = (room.width, room.height)
        return histogram.draw(findings.lengths, room.width, room.height, ascii_only=ascii_only())

    def _hand_over(self, frame: Frame) -> None:
        self._frame = frame
        self._due = time.monotonic() + _APART
        self._show(frame)
