"""How far a file is from torch, against an independent computation in float64."""

import numpy as np
import pytest


def logits(places=50, vocabulary=30):
    draw = np.random.default_rng(0)
    own, noise, change = draw.normal(size=(3, places, vocabulary))
    return 3 * own, noise, change, draw.integers(vocabulary, size=places)


def measured(own, file, base, ids) -> dict:
    import torch

    from lora_tui.engine.gguf_distance import Distance

    distance = Distance()
    for part in (slice(0, 20), slice(20, None)):
        distance.add(
            *(torch.tensor(one[part], dtype=torch.float32) for one in (own, file, base)),
            torch.tensor(ids[part]),
        )
    return distance.figures


def log_softmax(values):
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


def test_distances_are_those_of_an_independent_computation():
    own, noise, change, ids = logits()
    file = own + 0.1 * noise
    found = measured(own, file, own + change, ids)
    p, q, base = (log_softmax(one) for one in (own, file, own + change))
    kl = (np.exp(p) * (p - q)).sum(-1)
    assert found["kl"] == pytest.approx(kl.mean(), rel=1e-4)
    assert found["kl_error"] == pytest.approx(kl.std() / np.sqrt(50), rel=1e-4)
    assert found["kl_max"] == pytest.approx(kl.max(), rel=1e-4)
    assert found["kl_99_9"] == pytest.approx(np.quantile(kl, 0.999), rel=1e-4)
    assert found["kl_from_base"] == pytest.approx((np.exp(p) * (p - base)).sum(-1).mean(), rel=1e-4)
    same = p.argmax(-1) == q.argmax(-1)
    decided = np.exp(p).max(-1) > 0.5
    assert 0 < decided.sum() < 50 and 0 < same.sum() < 50
    assert found["top1"] == same.mean()
    assert found["top1_decided"] == same[decided].mean() and found["decided"] == decided.sum()
    losses = [-one[range(50), ids].mean() for one in (p, q)]
    assert found["perplexity_of_torch"] == pytest.approx(np.exp(losses[0]), rel=1e-4)
    assert found["perplexity"] == pytest.approx(np.exp(losses[1]), rel=1e-4)
    assert found["perplexity_ratio"] == pytest.approx(np.exp(losses[1] - losses[0]), rel=1e-4)
    assert found["positions"] == 50 and found["nan"] == 0


@pytest.mark.parametrize("share", [0.0, 0.5, 0.97, 1.0, 2.0])
def test_the_share_of_an_adapter_is_found_through_noise(share):
    own, noise, change, ids = logits(places=400, vocabulary=60)
    change = 0.1 * change
    file = own + (1 - share) * change + 0.1 * noise
    assert measured(own, file, own + change, ids)["adapter_share"] == pytest.approx(share, abs=0.02)


def test_what_is_no_number_is_counted_and_measured_no_further():
    own, noise, change, ids = logits()
    file = own + noise
    file[3, 4], file[30, 1] = np.nan, np.inf
    assert measured(own, file, own + change, ids) == {"nan": 2, "positions": 50}
