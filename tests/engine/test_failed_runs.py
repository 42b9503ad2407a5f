"""Failures through a whole engine process: the last event names them."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lora_tui.core import locations

DEMO_MODEL = locations.assets_folder() / "demo-model"


class Hub(BaseHTTPRequestHandler):
    """Answers as the Hub does for a gated repository, and for one that does not exist."""

    def do_HEAD(self):
        gated = "/gated/" in self.path
        self.send_response(403 if gated else 404)
        self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
        self.send_header("X-Error-Message", "Access to model is restricted." if gated else "")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_):
        """Silence."""


@pytest.fixture(scope="module")
def hub():
    """The address of a Hub on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "summary", "hint"),
    [
        ("gated/model", "gated", "hf auth login"),
        ("nobody/nothing", "not found", "model.name_or_path"),
    ],
)
def test_the_hubs_refusals_are_named(engines, hub, name, summary, hint):
    ended = engines.train_warm(
        "demo",
        f"model.name_or_path={name}",
        backend="transformers",
        HF_ENDPOINT=hub,
        HF_HUB_OFFLINE="0",
    )
    assert ended.code == 1
    failed = ended.events[-1]
    assert failed["kind"] == "failed"
    assert summary in failed["summary"]
    assert hint in failed["hint"]
    assert "cause" not in failed
    assert "Traceback" in ended.log
    assert len(failed["trace_tail"].splitlines()) <= 12


@pytest.mark.parametrize(
    ("settings", "summary"),
    [
        (("engine.device=cuda",), "torch sees no such GPU"),
        (("model.load_in_4bit=true", "training.optim=adamw_8bit"), "training.optim"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_spent(engines, settings, summary):
    ended = engines.train_warm("demo", *settings, backend="transformers")
    assert ended.code == 1
    assert summary in ended.events[-1]["summary"]
    assert "step" not in [event["kind"] for event in ended.events]


def test_a_model_of_nan_is_stopped_at_its_first_step(engines, few_rows, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(DEMO_MODEL, tmp_path / "nan")
    file = tmp_path / "nan" / "model.safetensors"
    weights = load_file(file)
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    ended = engines.train_warm(
        "demo",
        f"model.name_or_path={tmp_path / 'nan'}",
        f"data.source={few_rows}",
        backend="unsloth",
    )
    assert ended.code == 1
    assert ended.of("step")[-1]["loss"] == "nan"
    assert "NaN at step 1" in ended.events[-1]["summary"]
    assert ended.events[-1]["cause"] == "diverged"
    assert "learning_rate" in ended.events[-1]["hint"]
    assert not ended.run.adapter.exists()
    assert not list(ended.run.checkpoints.glob("checkpoint-*"))


def test_an_unreadable_preset_fails_by_name(engines):
    run = engines.create("demo")
    run.preset.write_text("[lora]\nr = 0\n")
    ended = engines.warm(run, "train", "transformers")
    assert ended.code == 1
    assert "lora.r" in json.dumps(ended.events[-1])
