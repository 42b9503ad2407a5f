"""Whether what was written is still the same model: the figures of a proof held to its limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PASS, FAIL, UNKNOWN = "pass", "fail", "cannot tell"
"""What a proof comes to. UNKNOWN: its noise is as large as what was learnt."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was measured, the limit it was held to, and why it did not pass, if so, in sentences."""

    verdict: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    limit: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool | None:
        """True, False, or None where it cannot be told."""
        return {PASS: True, FAIL: False}.get(self.verdict)

    def document(self) -> dict[str, Any]:
        """As proof files, events and `--json` hold it."""
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            **self.figures,
            "limit": dict(self.limit),
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Proof":
        """The proof that `document()` wrote.

        Raises:
            ValueError: it is none.
        """
        own = {"t", "kind", "passed", "verdict", "limit", "reasons"}
        if document.get("verdict") not in {PASS, FAIL, UNKNOWN}:
            raise ValueError("this is no proof")
        return cls(
            str(document["verdict"]),
            {name: value for name, value in document.items() if name not in own},
            dict(document.get("limit") or {}),
            tuple(str(reason) for reason in document.get("reasons") or ()),
        )
