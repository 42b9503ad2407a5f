"""The Hub is asked without its libraries, and a dead network costs seconds only."""

import socket

import pytest

from lora_tui.core import hub


def test_a_dead_hub_is_noticed_and_a_living_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert hub.answers()
    assert not hub.answers()


def test_offline_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.is_switched_off() and not hub.answers()
