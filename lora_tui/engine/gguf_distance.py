"""How far a file's next-token distributions are from torch's, place by place over rows.

Differences are looked at as KL sees them: d is what a file adds to torch's log-probabilities, its
mean under torch's own distribution p taken off, and half of sum(p d^2) is about the KL. In that
measure the file's d is laid along the change that taking the adapter off would be: 0 of it is
noise, 1 is a file without the adapter, -1 one with twice of it. So `adapter_share`, 1 less that, is
the share of the adapter's change that is in the file, whatever noise its type adds.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(slots=True)
class Distance:
    """The sums over all places that were added; at `base_places` of them a base was measured."""

    base_places: int = 0
    _kl: list[torch.Tensor] = field(default_factory=list)
    _from_base: float = 0.0
    _same: int = 0
    _decided: int = 0
    _decided_same: int = 0
    _nan: int = 0
    _own_loss: float = 0.0
    _file_loss: float = 0.0
    _along: float = 0.0
    _change: float = 0.0

    @torch.no_grad()
    def add(
        self, own: torch.Tensor, file: torch.Tensor, base: torch.Tensor | None, ids: torch.Tensor
    ) -> None:
        """Measure some places of a row.

        Args:
            own: Torch's logits, shape (places, vocabulary).
            file: The file's.
            base: Those of torch without the adapter, where they are measured too.
            ids: The token that follows at each place.
        """
        self._nan += int((~torch.isfinite(file)).any(-1).sum())
        wanted, found = own.float().log_softmax(-1), file.float().log_softmax(-1)
        likely = wanted.exp()
        apart = found - wanted
        self._kl.append((-(likely * apart).sum(-1)).clamp_min(0).cpu())
        top, same = wanted.max(-1), wanted.argmax(-1) == found.argmax(-1)
        decided = top.values > math.log(0.5)
        self._same += int(same.sum())
        self._decided += int(decided.sum())
        self._decided_same += int((same & decided).sum())
        self._own_loss -= float(wanted.gather(1, ids[:, None]).sum())
        self._file_loss -= float(found.gather(1, ids[:, None]).sum())
        if base is not None:
            self.base_places += len(base)
            change = base.float().log_softmax(-1) - wanted
            self._from_base += float((-(likely * change).sum(-1)).clamp_min(0).sum())
            change -= (likely * change).sum(-1, keepdim=True)
            self._along += float((likely * apart * change).sum())
            self._change += float((likely * change * change).sum())

    @property
    def figures(self) -> dict[str, Any]:
        """What was measured, by the names that a proof has."""
        kl = torch.cat(self._kl).double()
        places = len(kl)
        if self._nan:
            return {"nan": self._nan, "positions": places}
        own, file, mean = self._own_loss / places, self._file_loss / places, float(kl.mean())
        found: dict[str, Any] = {
            "kl": mean,
            "kl_error": float(kl.std(correction=0)) / math.sqrt(places),
            "kl_99_9": float(kl.quantile(0.999)),
            "kl_max": float(kl.max()),
            "top1": self._same / places,
            "decided": self._decided,
            "perplexity": _exp(file),
            "perplexity_of_torch": _exp(own),
            "perplexity_ratio": _exp(file - own),
            "nan": 0,
            "positions": places,
        }
        if self._decided:
            found["top1_decided"] = self._decided_same / self._decided
        if self.base_places:
            found["kl_from_base"] = self._from_base / self.base_places
            found["power"] = found["kl_from_base"] / max(mean, 1e-12)
        if self._change:
            missing = self._along / self._change
            found |= {"adapter_share": 1 - missing, "adapter_error": abs(missing)}
        return found


def _exp(nats: float) -> float:
    return math.exp(min(nats, 700.0))
