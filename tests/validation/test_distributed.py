"""Two processes measure each image once and get the metrics of one process; an error is raised on both."""

import json
import multiprocessing
import os
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


def work(rank: int, folder: Path) -> None:
    """Measure, break an image of the second process, measure again, and write the results to `<rank>.json`."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # gloo would resolve the host's name
    distributed.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    network, translator = Projection(), small_cyclegan().eval()
    found = evaluate(translator, held_out_of(folder / "toy"), References(network, folder / "kept"))
    record = {"metrics": found.metrics, "rows": found.images, "protocol": found.protocol, "shown": network.shown}
    held_out = held_out_of(folder / "toy")
    distributed.barrier()
    if rank == 0:
        Path(held_out.path("A", 1)).write_bytes(b"")
    distributed.barrier()
    try:
        evaluate(translator, held_out)
    except ImageError as error:
        record["error"] = str(error)
    (folder / f"{rank}.json").write_text(json.dumps(record))
    distributed.destroy_process_group()  # else gloo's threads may abort the process


def test_two_processes_get_the_metrics_and_errors_of_one(tmp_path: Path) -> None:
    """Seven images: shares of four and three."""
    held_out = held_out_of(tmp_path / "toy")  # drawn before both look for it
    one = evaluate(small_cyclegan().eval(), held_out, References(Projection(), None))

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # one import for both
    processes = [context.Process(target=work, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        process.kill()
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))

    assert first["metrics"] == second["metrics"]
    assert first["metrics"] == pytest.approx(one.metrics, rel=1e-6, abs=1e-6, nan_ok=True)
    rows = [(row["direction"], row["image"]) for row in first["rows"]]
    assert rows == [(row["direction"], row["image"]) for row in one.images]
    assert len(set(rows)) == 2 * COUNT
    assert first["protocol"] == one.protocol
    assert sorted((first["shown"], second["shown"])) == [4 * 3, 4 * 4]  # real and translated, both directions
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert held_out.path("A", 1) in first["error"]
    assert held_out.path("A", 1) in second["error"]
