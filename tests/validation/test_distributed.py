"""Two processes measure together: every image counts once, and the metrics are those of one process."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import distributed

from cyclegan.images import ImageError
from cyclegan.validation.evaluate import evaluate
from cyclegan.validation.feature_cache import References
from tests.small import small_cyclegan
from tests.validation.networks import Projection
from tests.validation.test_evaluate import COUNT, held_out_of


def meet(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=2)


def measured(rank: int, folder: Path) -> None:
    """What each of the two processes does; it leaves metrics and rows behind."""
    meet(rank, folder)
    network = Projection()
    found = evaluate(small_cyclegan().eval(), held_out_of(folder / "toy"), References(network, folder / "kept"))
    record = {"metrics": found.metrics, "rows": found.images, "protocol": found.protocol, "shown": network.shown}
    (folder / f"{rank}.json").write_text(json.dumps(record))
    distributed.destroy_process_group()


def failing(rank: int, folder: Path) -> None:
    """Notes the error that each process ends with."""
    meet(rank, folder)
    try:
        evaluate(small_cyclegan().eval(), held_out_of(folder / "toy"))
    except ImageError as error:
        (folder / f"{rank}.txt").write_text(str(error))
    distributed.destroy_process_group()  # else gloo's threads may end the process with an abort


def in_two_processes(work: Callable[[int, Path], None], folder: Path) -> list[int | None]:
    """The exit codes."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


def test_what_one_process_cannot_read_ends_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other would wait for its metrics for ever."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    broken = Path(held_out_of(tmp_path / "toy").path("A", 1))  # the second process's
    broken.write_bytes(broken.read_bytes()[:60])
    assert in_two_processes(failing, tmp_path) == [0, 0]
    assert [broken.name in (tmp_path / f"{rank}.txt").read_text() for rank in range(2)] == [True, True]


def test_two_processes_measure_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven images: one process has four of them and the other three, in batches of other sizes."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # gloo would look this machine's name up
    held_out = held_out_of(tmp_path / "toy")  # drawn before both look for it
    assert in_two_processes(measured, tmp_path) == [0, 0]

    one = evaluate(small_cyclegan().eval(), held_out, References(Projection(), None))
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["metrics"] == second["metrics"]
    assert first["metrics"].keys() == one.metrics.keys()
    for name, value in one.metrics.items():
        assert first["metrics"][name] == pytest.approx(value, rel=1e-6, abs=1e-6, nan_ok=True), name

    rows = [(row["direction"], row["image"]) for row in first["rows"]]
    assert rows == [(row["direction"], row["image"]) for row in one.images]
    assert len(set(rows)) == 2 * COUNT
    assert first["protocol"] == one.protocol
    assert sorted((first["shown"], second["shown"])) == [4 * 3, 4 * 4]  # real and translated, both directions
    assert len(list((tmp_path / "kept").iterdir())) == 2
