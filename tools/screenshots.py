"""Take the documents' screenshots from real runs: `python -m tools.screenshots`.

Opens the app on the runs that are there (`$LORA_TUI_HOME`), presses keys as a user would, and saves
what is on the screen as SVG. Chromium, where it is installed, turns them into the PNG files of
docs/screenshots/.
"""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from textual.pilot import Pilot

from lora_tui.tui.app import LoraTuiApp

FOLDER = Path(__file__).parent.parent / "docs" / "screenshots"
SIZE = (100, 30)
RUN = ("tab", *["down"] * 5)
"""To the newest run that is not of the sweep."""

SHOTS: dict[str, Sequence[str]] = {
    "home": ("tab",),
    "training": (*RUN, "enter"),
    "sample": (*RUN, "enter", "x"),
    "preset": ("enter", "tab", "down"),
    "compare": ("o", "down", "enter"),
    "sweep": ("o", "enter"),
    "merge": (*RUN, "down", "m"),
    "export": (*RUN, "down", "e"),
}


async def _settle(pilot: Pilot[None]) -> None:
    """Wait until what was asked for is on the screen: the chart's thread follows a live run on."""
    for _ in range(6):
        await pilot.pause(0.5)


async def shoot(name: str, keys: Sequence[str]) -> Path:
    """One screen as SVG."""
    app = LoraTuiApp()
    async with app.run_test(size=SIZE) as pilot:
        await _settle(pilot)
        for key in keys:
            await pilot.press(key)
            await _settle(pilot)
        return Path(app.save_screenshot(f"{name}.svg", path=tempfile.mkdtemp()))


def to_png(svg: Path, png: Path) -> None:
    """Let a browser draw it: what others make of the SVG is not aligned."""
    width, height = (float(part) for part in _view_box(svg)[2:])
    page = svg.with_suffix(".html")
    page.write_text(f"<body style='margin:0'>{svg.read_text('utf-8')}</body>", encoding="utf-8")
    subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--hide-scrollbars",
            f"--window-size={width:.0f},{height:.0f}",
            f"--screenshot={png}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
    )


def _view_box(svg: Path) -> list[str]:
    return svg.read_text("utf-8").partition('viewBox="')[2].partition('"')[0].split()


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, keys in SHOTS.items():
        svg = asyncio.run(shoot(name, keys))
        if shutil.which("chromium"):
            to_png(svg, FOLDER / f"{name}.png")
        else:
            shutil.copy(svg, FOLDER)


if __name__ == "__main__":
    main()
