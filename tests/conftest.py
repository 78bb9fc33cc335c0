"""Settings of the whole test suite."""

import os

# One thread: the networks here are tiny, and on a busy machine torch's threads mostly wait for each other.
# In the environment, so that commands which the tests start take it too.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["WANDB_MODE"] = "offline"
# The tests bring their own settings; what is set on the machine must not change what they see.
os.environ.pop("HYDRA_FULL_ERROR", None)

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of an earlier run, or of the test runner's command line."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)  # which a run sets
    monkeypatch.setattr("sys.argv", ["cyclegan-train"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a test file's toy set is drawn."""
    return tmp_path_factory.mktemp("data") / "toy"
