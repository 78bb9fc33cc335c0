"""A file with a checkpoint's name is complete, whenever the process is killed and however full the disk is."""

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import ListConfig

from cyclegan.checkpoint.reading import read
from cyclegan.checkpoint.writing import AtomicCheckpointIO, remove_unfinished, require_finite, same_file
from cyclegan.errors import CheckpointError
from tests.faults import in_a_child, largest_file
from tests.tiny_run import differences

OLD = {"state_dict": {"w": torch.arange(12.0).reshape(3, 4)}, "step": 1}
NEW = {"state_dict": {"w": torch.arange(12.0).reshape(3, 4) + 0.5}, "step": 2}


def dies_at(call: int) -> None:
    """Kill this process at the n-th call that writes a checkpoint to disk."""
    done = 0

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            if done == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **named)

        return wrapper

    class File(io.BufferedWriter):
        write = counted(io.BufferedWriter.write)

    Path.open = lambda path, mode: File(io.FileIO(path, "w"))  # type: ignore[method-assign, assignment]
    for owner, name in ((os, "fsync"), (Path, "replace"), (os, "link"), (Path, "unlink")):
        setattr(owner, name, counted(getattr(owner, name)))


def test_a_kill_at_any_call_leaves_the_earlier_or_the_new_checkpoint(tmp_path: Path) -> None:
    last, io = tmp_path / "last.ckpt", AtomicCheckpointIO()

    def save(checkpoint: dict[str, Any], name: str) -> None:
        io.save_checkpoint(checkpoint, tmp_path / name)
        same_file(tmp_path / name, last)

    outcomes = []
    for call in range(1, 200):
        save(OLD, "images1.ckpt")
        (tmp_path / "images2.ckpt").unlink(missing_ok=True)

        def killed_while_saving(call: int = call) -> None:
            dies_at(call)
            save(NEW, "images2.ckpt")

        ended = in_a_child(killed_while_saving)
        assert ended in (0, -signal.SIGKILL)
        for path in tmp_path.glob("*.ckpt"):
            assert differences(read(path), NEW if path.name == "images2.ckpt" else read(path)) == []
        found = read(last)
        assert any(differences(found, whole) == [] for whole in (OLD, NEW))
        outcomes.append(found["step"])
        remove_unfinished(tmp_path)
        assert not list(tmp_path.glob(".*")), "what was begun is cleared away"
        if ended == 0:
            break
    assert ended == 0
    # torch writes a header, its padding and the bytes of each record; then two syncs, a rename, a link and another.
    assert len(outcomes) > 20
    assert outcomes == sorted(outcomes), "once the new one is there, it stays"
    assert outcomes[0] == 1
    assert outcomes[-1] == 2


@pytest.mark.parametrize("room", [0, 100, 700, 3000, 40000])
def test_on_a_full_disk_the_earlier_checkpoint_stays_and_the_systems_error_is_raised(tmp_path: Path, room: int) -> None:
    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint(OLD, path)
    with largest_file(room), pytest.raises(OSError, match="File too large"):
        io.save_checkpoint({"state_dict": {"w": torch.zeros(10000)}}, path)
    assert differences(read(path), OLD) == []
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    io.save_checkpoint(NEW, path)
    assert differences(read(path), NEW) == []


def test_a_flipped_bit_is_detected_or_harmless(tmp_path: Path) -> None:
    """torch.load alone would take most of these files, with other weights."""
    torch.save(OLD, tmp_path / "whole.ckpt")
    whole, damaged = (tmp_path / "whole.ckpt").read_bytes(), tmp_path / "damaged.ckpt"
    noticed, unnoticed_by_torch = 0, 0
    for place in range(0, len(whole), 2):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        damaged.write_bytes(flipped)
        try:
            assert differences(read(damaged), OLD) == [], f"byte {place}"
        except CheckpointError:
            noticed += 1
            try:
                unnoticed_by_torch += bool(differences(torch.load(damaged, weights_only=True), OLD))
            except Exception:
                continue
    assert noticed > 250
    assert unnoticed_by_torch > 20, "most of the 24 of the weights' bytes that were tried"


def test_a_truncated_file_is_detected(tmp_path: Path) -> None:
    torch.save(OLD, tmp_path / "whole.ckpt")
    whole, cut = (tmp_path / "whole.ckpt").read_bytes(), tmp_path / "cut.ckpt"
    for length in range(0, len(whole), 5):
        cut.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut\.ckpt is damaged"):
            read(cut)


def test_a_second_name_is_a_copy_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    AtomicCheckpointIO().save_checkpoint(NEW, tmp_path / "a.ckpt")
    same_file(tmp_path / "a.ckpt", tmp_path / "linked.ckpt")
    assert (tmp_path / "linked.ckpt").samefile(tmp_path / "a.ckpt")

    def no_links(*_: Any, **__: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    same_file(tmp_path / "a.ckpt", tmp_path / "linked.ckpt")
    assert not (tmp_path / "linked.ckpt").samefile(tmp_path / "a.ckpt")
    assert differences(read(tmp_path / "linked.ckpt"), NEW) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("entry", ["state_dict", "optimizer_states", "ema", "ranks"])
def test_values_that_are_not_finite_are_not_saved(tmp_path: Path, entry: str, bad: float) -> None:
    path, io = tmp_path / "last.ckpt", AtomicCheckpointIO()
    io.save_checkpoint(OLD, path)
    worse = {**NEW, entry: [{"deep": {"inside": torch.tensor([0.0, bad])}}]}
    with pytest.raises(CheckpointError, match=rf"{entry}\.0\.deep\.inside hold values that are not finite"):
        io.save_checkpoint(worse, path)
    assert differences(read(path), OLD) == []


def test_values_outside_of_weights_and_optimizer_states_may_be_infinite() -> None:
    require_finite({"callbacks": {"EarlyStopping": {"best_score": torch.tensor(float("inf"))}}})
    with pytest.raises(CheckpointError, match=r"a, state_dict.b, state_dict.c, … 1 more"):
        require_finite({"state_dict": dict.fromkeys("abcd", torch.tensor(float("nan")))})


class Stamp:
    """A class of the user's, which is pickled by name."""


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"when": [1, Stamp()]}, r"tests\.checkpoint\.test_writing\.Stamp"),
        (ListConfig([0.5, 0.999]), r"omegaconf\.listconfig\.ListConfig"),
        (np.float64(0.5), r"numpy.*\.scalar"),
    ],
    ids=["object", "OmegaConf", "numpy"],
)
def test_the_first_checkpoint_is_read_back_and_an_unreadable_type_is_named(
    tmp_path: Path, value: Any, kind: str
) -> None:
    with pytest.raises(CheckpointError, match=rf"not saved, because it could not be read again: .* it holds {kind}"):
        AtomicCheckpointIO().save_checkpoint(NEW | {"mine": value}, tmp_path / "last.ckpt")
    assert list(tmp_path.iterdir()) == []
