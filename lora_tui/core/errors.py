"""The exceptions that are meant for the user's eyes."""


class LoraTuiError(Exception):
    """Something the user can act on: what happened, and what to do about it.

    Every front end shows `summary` and `hint` as they are; a traceback never reaches the screen.
    `status` is the exit status of a command that ends with it.
    """

    status = 1

    def __init__(self, summary: str, hint: str = "") -> None:
        """Keep both sentences; `str()` joins them for a plain terminal."""
        super().__init__(f"{summary}\n{hint}" if hint else summary)
        self.summary = summary
        self.hint = hint


class BadInput(LoraTuiError):
    """What the user asked for does not exist or does not fit; nothing was done."""

    status = 2


class Ambiguous(BadInput):
    """Several are meant by one name, and none may be taken for the other."""
