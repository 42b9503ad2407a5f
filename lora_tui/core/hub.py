"""Whether the Hub can be reached, asked without its libraries."""

import os
import socket
import threading
from urllib.parse import urlsplit

_PROBE_SECONDS = 3.0


def is_switched_off() -> bool:
    """Whether the user told the libraries not to ask the Hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def host() -> tuple[str, int]:
    """The Hub's name and port: `$HF_ENDPOINT`'s where it is set."""
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    return endpoint.hostname or "", endpoint.port or (80 if endpoint.scheme == "http" else 443)


def answers() -> bool:
    """Whether the Hub can be reached within a few seconds; a proxy is taken on trust."""
    if is_switched_off():
        return False
    if any(
        os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
    ):
        return True
    answered = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection(host(), timeout=_PROBE_SECONDS).close()
        except OSError:
            return
        answered.set()

    # In a thread, because looking up the name has no timeout of its own.
    probe = threading.Thread(target=connect, daemon=True)
    probe.start()
    probe.join(_PROBE_SECONDS)
    return answered.is_set()
