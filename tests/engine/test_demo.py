"""The demo as it is shipped: what the README promises, measured by the program itself."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["demo", "demo-pirate"])
def test_the_demo_teaches_its_manner_and_keeps_the_facts(preset, own_home):
    done = subprocess.run(
        [sys.executable, "-m", "lora_tui", "train", preset, "--json"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    manner, both = shown["scores"]["manner"], shown["scores"]["manner_and_fact"]
    assert shown["state"] == "finished" and shown["step"] == shown["max_steps"]
    assert shown["eval_loss"]["last"] <= 0.6 * shown["eval_loss"]["first"]
    assert manner["first"] < 0.05 and manner["last"] > 0.95
    assert both["last"] > 0.8
