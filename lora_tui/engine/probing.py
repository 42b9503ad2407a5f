"""What a proof measures on: rows of the data a model was trained for, and a text full of traps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import DataSettings, Preset
from lora_tui.engine import data
from lora_tui.engine.formats import Message, Row, Shapes
from lora_tui.engine.masking import Example, Rendered
from lora_tui.engine.reading import Made, Reader
from lora_tui.engine.sources import open_source
from lora_tui.engine.templates import ChatTemplate

PROBE_TEXT = (
    "Hello, World! It's 7 o'clock; we'll go, they're late, I'd say: DON'T (really?) -- fine...\n"
    "Digits: 0 7 42 365 1234 56789 1000000 3.14159 -17 1,234,567.89 0x1F 2026-11-28 1e-5 ½ ² ٣٤\n"
    "Spaces:  two   three    four\ttab\t\ttabs \n\n\n lines \r\n end   \n"
    "Accents: naïve café Zoë Ångström Straße ŒUVRE İstanbul; combining: e\u0301 n\u0303 a\u030a\n"
    "Scripts: Ελληνικά, русский язык, עברית, العربية, हिन्दी, ไทย, 中文字符, 日本語テスト, 한국어\n"
    "Signs: “quoted” ‘single’ – — … € £ ¥ © ™ → ≤ ∞ √ \u00a0no-break\u200bzero-width\ufeff\n"
    "Emoji: 😀 👍🏽 👩‍👩‍👧‍👦 🇫🇷 ❤️ 🏴\u200d☠️\n"
    "def f(x: int) -> dict[str, int]:\n    return {'a': x**2, \"b\": x // 3}  # ok\n"
    '\tif (a && b || !c) { s += "\\n%d"; } /* x->y */ <div class="q">&amp;</div> $HOME ~/.x\n'
    "https://example.org/a_b?c=d#e user@example.org camelCase snake_case UPPER aaaaaaaaaaaa ====\n"
)
"""What tokenisers disagree on: digits, runs of spaces, code, scripts, combining marks, emoji."""


@dataclass(frozen=True, slots=True)
class Probes:
    """Rows to measure on.

    Attributes:
        source: What they are called.
        examples: Their token ids.
        texts: The same rows as the template renders them.
        questions: Conversations that end where an answer is due.
        warnings: What has to be said of them.
    """

    source: str
    examples: Sequence[Example]
    texts: Sequence[Rendered]
    questions: Sequence[list[Message]]
    warnings: tuple[str, ...] = ()


def probes(preset: Preset, has_rows: bool, template: ChatTemplate, most: int) -> Probes:
    """At most `most` rows: held-out ones, else those of the training, else the demo's.

    Whether a model was trained on them does not matter here: two forms of it are compared.

    Args:
        preset: Whose data.
        has_rows: Whether that data is what the model was trained for.
        template: How they become text; its tokenizer is the model's.
        most: How many.

    Raises:
        LoraTuiError: not even the demo's rows can be read, or the template refuses them all.
    """
    warnings = []
    if has_rows:
        try:
            if (found := _of(preset, template, most)).examples:
                return found
        except LoraTuiError as error:
            warnings.append(f"Held-out rows cannot be read: {error.summary}")
    text = "It is measured on the demo's questions, which say little of what it was trained for."
    found = _of(replace(preset, data=DataSettings()), template, most)
    if not found.examples:
        raise LoraTuiError(
            "There is nothing to measure on: the model's chat template takes no conversation.",
            "Correct the template in its tokenizer's files.",
        )
    return replace(found, warnings=(*warnings, text))


def _of(preset: Preset, template: ChatTemplate, most: int) -> Probes:
    source = open_source(preset.data)
    shapes = Shapes(source.columns, preset.data)
    reader = Reader(preset, shapes, template)
    train, held_out = data.split(source, preset)
    made = list(islice(_made(reader, held_out), most)) or list(islice(_made(reader, train), most))
    asked = (one.content for one in made if not isinstance(one.content, str))
    return Probes(
        source=source.name,
        examples=[one.example for one in made],
        texts=[one.rendered for one in made],
        questions=[question for content in asked if (question := template.fitted(content)[:-1])],
    )


def _made(reader: Reader, rows: Sequence[Row]) -> Iterator[Made]:
    return (one for one in reader.read(enumerate(rows)) if isinstance(one, Made))
