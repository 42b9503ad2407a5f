"""The shapes rows come in: which column is what, and a row turned into a conversation or a text."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import DataSettings

Row = Mapping[str, Any]
Message = dict[str, Any]
"""`role` and `content`; an answer that calls tools has `tool_calls` too."""

# Per format, what a role's column may be called; the first that is there counts.
_COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "messages": {"messages": ("messages", "conversations", "conversation")},
    "prompt_completion": {"prompt": ("prompt",), "completion": ("completion", "response")},
    "instruction": {
        "prompt": ("instruction",),
        "completion": ("output", "response", "completion", "answer"),
        "context": ("input", "context"),
    },
    "question_answer": {
        "prompt": ("question", "query", "problem"),
        "completion": ("answer", "response", "solution"),
        "context": ("context",),
    },
    "text": {"text": ("text",)},
}
_OPTIONAL = {"context": ("context",), "system": ("system", "system_prompt")}
# What others call the roles: ShareGPT, OpenAssistant, Gemini, LLaMA-Factory, Llama's own tools.
_SPEAKERS = {
    **dict.fromkeys(("human", "prompter", "instruction", "question"), "user"),
    **dict.fromkeys(
        ("gpt", "chatgpt", "bot", "ai", "model", "answer", "function_call"), "assistant"
    ),
    **dict.fromkeys(("function", "observation", "ipython", "function_response"), "tool"),
}


class BadRow(ValueError):
    """A row that cannot be trained on; the message is the reason it is counted under."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The format of a data set and the column of each role in it."""

    format: str
    columns: Mapping[str, str]

    def read(self, row: Row) -> list[Message] | str:
        """The row as a conversation, or as a text.

        Raises:
            BadRow: something is missing, empty or not text.
        """
        if self.format == "text":
            return _filled(row, self.columns["text"], "empty text")
        if self.format == "messages":
            return _conversation(_given(row, self.columns["messages"]))
        prompt = _given(row, self.columns["prompt"])
        completion = _given(row, self.columns["completion"])
        if isinstance(prompt, list) or isinstance(completion, list):
            return _conversation([*_as_list(prompt, "user"), *_as_list(completion, "assistant")])
        return _conversation(
            [*self._system(row), *_exchange(prompt, self._context(row), completion)]
        )

    def _system(self, row: Row) -> list[Message]:
        system = row.get(self.columns.get("system", ""))
        return (
            [{"role": "system", "content": system}]
            if isinstance(system, str) and system.strip()
            else []
        )

    def _context(self, row: Row) -> str:
        context = row.get(self.columns.get("context", ""))
        return context if isinstance(context, str) else ""


def detect(columns: Iterable[str], settings: DataSettings) -> Layout:
    """The layout of rows with these columns.

    Raises:
        LoraTuiError: the columns fit no format, or not the one the preset names.
    """
    present = {name.lower(): name for name in columns}
    given = dict(entry.split("=", 1) for entry in settings.columns)
    if missing := [name for name in given.values() if name not in present.values()]:
        raise LoraTuiError(
            f"data.columns names {', '.join(missing)}, which the data does not have.",
            f"Its columns are {', '.join(present.values()) or 'none'}.",
        )
    formats = (
        _COLUMNS if settings.format == "auto" else {settings.format: _COLUMNS[settings.format]}
    )
    for name, roles in formats.items():
        takes = {**_OPTIONAL, **roles} if "prompt" in roles else roles
        if given.keys() <= takes.keys() and (found := _match(takes, present, given)):
            return Layout(name, found)
    asked = (
        "any known format" if settings.format == "auto" else f'data.format = "{settings.format}"'
    )
    raise LoraTuiError(
        f"The columns {', '.join(present.values()) or '(none)'} do not fit {asked}.",
        'Name them in data.columns, as in ["prompt=question", "completion=answer"]; '
        'with a column of messages ["messages=..."], with plain text ["text=..."].',
    )


def _match(
    roles: Mapping[str, tuple[str, ...]], present: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str] | None:
    """The column of each role, or None when one that is needed is missing."""
    found = {}
    for role, names in roles.items():
        column = given.get(role) or next((present[name] for name in names if name in present), None)
        if column:
            found[role] = column
        elif role not in _OPTIONAL:
            return None
    return found


def _given(row: Row, column: str) -> Any:
    value = row.get(column)
    if value is None:
        raise BadRow(f"no {column}")
    return value


def _filled(row: Row, column: str, reason: str) -> str:
    value = _given(row, column)
    if not isinstance(value, str):
        raise BadRow(f"{column} is not text")
    if not value.strip():
        raise BadRow(reason)
    return _whole(value)


def _whole(text: str) -> str:
    """`text`, if it has no half of a character in it: a tokenizer fails on what cannot be UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRow("text with half a character") from error
    return text


def _as_list(value: Any, role: str) -> list[Any]:
    return value if isinstance(value, list) else [{"role": role, "content": value}]


def _exchange(prompt: Any, context: str, completion: Any) -> list[Message]:
    if not isinstance(prompt, str) or not isinstance(completion, str):
        raise BadRow("prompt or answer is not text")
    question = f"{prompt}\n\n{context}" if context.strip() else prompt
    return [{"role": "user", "content": question}, {"role": "assistant", "content": completion}]


def _conversation(turns: Any) -> list[Message]:
    """Turns in one spelling (`role`, `content`), up to the last answer."""
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise BadRow("messages are not a list of turns")
    messages = [_message(turn) for turn in turns]
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if not answers:
        raise BadRow("no answer")
    messages = messages[: answers[-1] + 1]
    for message in messages:
        is_empty = not message["content"].strip() and not message.get("tool_calls")
        if is_empty and message["role"] not in {"system", "tool"}:
            raise BadRow("empty answer" if message["role"] == "assistant" else "empty prompt")
    return messages


def _message(turn: Mapping[str, Any]) -> Message:
    role = _first(turn, "role", "from", "speaker")
    content = _first(turn, "content", "value", "text")
    calls = turn.get("tool_calls")
    if isinstance(content, list):  # the multimodal spelling: text is what a text model can read
        if not all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
            raise BadRow("content that is not text")
        content = "".join(str(part.get("text", "")) for part in content)
    if content is None and calls:
        content = ""
    if not isinstance(role, str) or not isinstance(content, str):
        raise BadRow("a turn without role or content")
    spoken = role.strip().lower()
    message: Message = {"role": _SPEAKERS.get(spoken, spoken), "content": _whole(content)}
    return {**message, "tool_calls": calls} if calls else message


def _first(turn: Mapping[str, Any], *names: str) -> Any:
    return next((turn[name] for name in names if turn.get(name) is not None), None)


class Shapes:
    """The layout of every row of a data set: mostly one, but files may mix them."""

    def __init__(self, columns: Iterable[str], settings: DataSettings) -> None:
        """Find the layout of most rows, from all `columns` there are.

        Raises:
            LoraTuiError: the columns fit no format, or not the one the preset names.
        """
        self._settings = settings
        self.counts: Counter[str] = Counter()
        self.used: set[str] = set()
        self.main = detect(columns, settings)
        self._known: dict[tuple[str, ...], Layout] = {}

    def of(self, row: Row) -> Layout:
        """The row's own layout; that of most rows where its columns alone fit none."""
        columns = tuple(row)
        if columns not in self._known:
            try:
                self._known[columns] = detect(columns, self._settings)
            except LoraTuiError:
                self._known[columns] = self.main
        return self._known[columns]

    def read(self, row: Row) -> list[Message] | str:
        """The row as a conversation, or as a text.

        Raises:
            BadRow: something is missing, empty or not text.
        """
        layout = self.of(row)
        self.counts[layout.format] += 1
        self.used.update(layout.columns.values())
        return layout.read(row)
