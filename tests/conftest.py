"""Settings of the whole test suite."""

import os

# One thread: the networks here are tiny, and on a busy machine torch's threads mostly wait for each other.
# In the environment, so that commands which the tests start take it too.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["WANDB_MODE"] = "offline"
# The tests bring their own settings; what is set on the machine must not change what they see.
os.environ.pop("HYDRA_FULL_ERROR", None)

import torch

torch.set_num_threads(1)
