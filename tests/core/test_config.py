"""The user's own settings: what a file says, and what is wrong with it."""

import pytest

from lora_tui.core import config
from lora_tui.core.config import Config, Notify
from lora_tui.core.files import private_folder
from lora_tui.core.settings import SettingsError


def write(text: str) -> None:
    private_folder(config.path().parent)
    config.path().write_text(text)


def test_without_a_file_all_is_as_declared() -> None:
    assert config.load() == Config()
    assert Config().notify == Notify(command="", bell=True, desktop=True, idle_minutes=10)


def test_a_file_says_some_and_the_rest_is_as_declared() -> None:
    write('[notify]\ncommand = "mail -s done me"\nidle_minutes = 0\n')
    assert config.load().notify == Notify(command="mail -s done me", idle_minutes=0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[notify]\nbel = true", ["notify.bel: unknown; did you mean bell?"]),
        (
            "[notify]\nbell = 1\nidle_minutes = -1",
            ["notify.bell: 1 is not true or false", "notify.idle_minutes: -1 is out of range"],
        ),
        ("notify = 3", ["notify: is a table: write [notify]"]),
        ("[notif]\nbell = true", ["notif: unknown; did you mean notify?"]),
        ("bell = ", ["Invalid value"]),
    ],
)
def test_what_is_wrong_is_said_all_at_once(text: str, said: list[str]) -> None:
    write(text)
    with pytest.raises(SettingsError) as wrong:
        config.load()
    assert str(config.path()) in wrong.value.summary
    assert all(part in wrong.value.summary for part in said), wrong.value.summary


def test_a_file_that_is_no_text_is_said_too() -> None:
    write("")
    config.path().write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        config.load()
