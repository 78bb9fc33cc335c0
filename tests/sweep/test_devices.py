"""GPUs are divided among jobs: never given twice, and waited for."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from cyclegan.sweep.devices import Devices, visible_gpus


def test_no_gpu_is_given_twice() -> None:
    devices, used, lock = Devices(["0", "1", "2", "3"]), list[str](), threading.Lock()
    most = 0

    def work(count: int) -> None:
        nonlocal most
        with devices.taken(count) as mine:
            assert len(mine) == count
            with lock:
                used.extend(mine)
                assert len(set(used)) == len(used)
                most = max(most, len(used))
            time.sleep(0.001)
            with lock:
                for gpu in mine:
                    used.remove(gpu)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1, 2, 4, 3, 0, 1, 1, 2] * 5))
    assert most == 4


def test_a_job_waits_for_as_many_gpus_as_it_needs() -> None:
    devices, order = Devices(["0", "1"]), []

    def work() -> None:
        with devices.taken(2):
            order.append("taken")

    with devices.taken(1):
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.05)
        order.append("given back")
    thread.join(10)
    assert order == ["given back", "taken"]


@pytest.mark.parametrize(
    ("variable", "count", "gpus"),
    [(None, 2, ["0", "1"]), ("2,5", 2, ["2", "5"]), ("GPU-abc", 1, ["GPU-abc"]), ("3,-1,2", 1, ["3"]), ("", 0, [])],
)
def test_visible_gpus_keep_their_names(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, count: int, gpus: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == gpus
