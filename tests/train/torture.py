"""Kills a small training again and again, at any moment, damages what it left, and compares its end.

Trains the toy set twice for each case: once undisturbed, and once killed with SIGKILL at random moments and resumed
each time by `resume=auto`. In between, checkpoints are cut short or lose a bit, and the disk is full for a while. In
the end weights, optimiser, schedule, pools, averages, random numbers, counters, sample grids and the rows of
metrics.csv have to be the same, bit for bit.

    python -m tests.train.torture
"""

import argparse
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Protocol

from tests.tiny_run import SMALL_NETWORKS, TINY, differences, metrics, read_checkpoint

LIMIT = 180  # seconds that one start of the training may take, against a hang
IMAGES_PER_EPOCH = 6  # five images in batches of two
# A checkpoint every other batch and at the end of every epoch; averages; small pools, which are random early.
WORDS = (
    *TINY,
    *SMALL_NETWORKS,
    "callbacks=ema",
    "model.pool_size=3",
    "callbacks.checkpointing.every_n_images=4",
    "callbacks.checkpointing.give_up_after=1000",
    "data.root=toy",
)
# All that a cluster's or an earlier launcher's environment could say about ranks and ports.
CLUSTER = ("MASTER_", "WORLD_SIZE", "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_", "TORCHELASTIC_", "PL_")


@dataclass(frozen=True)
class Case:
    """A way of training that has to survive."""

    name: str
    words: tuple[str, ...] = ()


CASES = (
    Case("one process, no workers", ("data.num_workers=0",)),
    Case("one process, two workers", ("data.num_workers=2",)),
    Case("two processes, two workers each",
         ("trainer.devices=2", "trainer.strategy=ddp", "data.batch_size=1", "data.num_workers=2")),
)  # fmt: skip


@dataclass
class Report:
    """What was done to a training, and what was different in the end."""

    kills: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


# ---------------------------------------------------------------------------------------------- a training


SCRIPT = str(Path(sys.executable).with_name("cyclegan-train"))


class Started(Protocol):
    """What is used of a subprocess.Popen."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


class Forked:
    """The command in a process forked from one that has imported everything: it starts in a tenth of a second."""

    def __init__(self, words: list[str], folder: Path, environment: dict[str, str], screen: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["cyclegan.train.assembly", "cyclegan.train.command", "cyclegan.train.resume"])
        self.process = context.Process(target=run_command, args=(words, folder, environment, screen))
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise TimeoutError(f"still running after {timeout} s")
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()


def run_command(words: list[str], folder: Path, environment: dict[str, str], screen: Path) -> None:
    """What the console script does, in a process group of its own."""
    from cyclegan.train import main

    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with screen.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = [SCRIPT, *words]
    main()


@contextmanager
def training(folder: Path, name: str, case: Case, epochs: int, forked: bool) -> Iterator[Started]:
    """Start the command with its output in a file; kill all of its processes at the end of the block.

    Args:
        folder: the working directory.
        name: of the run.
        case: how to train.
        epochs: `trainer.max_epochs`.
        forked: fork it from a process that has imported everything, instead of starting the console script.
    """
    words = [*WORDS, *case.words, f"name={name}", f"trainer.max_epochs={epochs}", "resume=auto"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(CLUSTER)}
    # Gloo would look this machine's name up, which fails in some containers.
    environment |= {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    screen = folder / f"{name}.txt"
    process: Started | None = None
    try:
        if forked:
            process = Forked(words, folder, environment, screen)
        else:
            with screen.open("ab") as file:
                process = subprocess.Popen(
                    [SCRIPT, *words], cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True
                )
        yield process
    finally:
        if process is not None:
            end_all(process)


def end_all(process: Started) -> None:
    """Kill a training with all its processes, and wait until the first is gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finish(folder: Path, name: str, case: Case, epochs: int, forked: bool) -> None:
    """Let a training run to its end."""
    with training(folder, name, case, epochs, forked) as process:
        code = process.wait(LIMIT)
    if code != 0:
        raise RuntimeError(f"{name} ended with {code}:\n{(folder / f'{name}.txt').read_text()}")


def images_seen(run: Path) -> int:
    """The last position in metrics.csv, which has a row for every batch."""
    try:
        lines = (run / "metrics.csv").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return int(lines[-1].partition(",")[0]) if len(lines) > 1 else 0


def is_saving(run: Path) -> bool:
    """Whether a checkpoint is being written."""
    folder = run / "checkpoints"
    return folder.is_dir() and any(name.endswith(".part") for name in os.listdir(folder))  # noqa: PTH208 - quick


# ---------------------------------------------------------------------------------------------- what is done to it


def kill(process: Started, run: Path, goal: int, rng: random.Random) -> str:
    """Waits for a moment at or after a position and kills, sometimes the first process alone. Says where that fell."""
    begun = images_seen(run)
    kind = rng.choice(("any batch", "an epoch's edge", "saving"))
    moments: dict[str, Callable[[], bool]] = {
        "any batch": lambda: images_seen(run) % IMAGES_PER_EPOCH > 0 and not is_saving(run),
        "an epoch's edge": lambda: images_seen(run) % IMAGES_PER_EPOCH == 0 and not is_saving(run),
        "saving": lambda: is_saving(run),
    }
    deadline = time.monotonic() + LIMIT
    while not (images_seen(run) >= goal and moments[kind]()):
        time.sleep(0.0003)  # else the waiting takes a processor
        if process.poll() is not None:
            return "it had ended"
        if time.monotonic() > deadline:
            raise TimeoutError(f"{run}: no batch for {LIMIT} s")
    time.sleep({"any batch": rng.uniform(0, 0.02), "an epoch's edge": rng.uniform(0, 0.02), "saving": 0}[kind])
    if rng.random() < 0.3:
        process.kill()  # its children find out by themselves
        process.wait()
        time.sleep(0.2)
    end_all(process)
    if is_saving(run):
        return "while saving"
    if images_seen(run) == begun:
        return "before the first batch"
    return "at an epoch's edge" if images_seen(run) % IMAGES_PER_EPOCH == 0 else "mid-epoch"


def damage(run: Path, rng: random.Random) -> str:
    """Spoils the newest checkpoint, at times under both of its names."""
    path = run / "checkpoints" / "last.ckpt"
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content) // 4, 3 * len(content) // 4)
    if rng.random() < 0.5:
        del content[place:]
        what = f"cut to {place} bytes"
    else:
        content[place] ^= 1 << rng.randrange(8)
        what = f"one bit flipped in byte {place}"
    both = rng.random() < 0.5
    if not both:
        path.unlink()
    path.write_bytes(content)
    return f"last.ckpt{' and what it is linked to' if both else ''}: {what}"


def fill_disk(process: Started, run: Path, goal: int) -> str:
    """Lets no file grow beyond 50 kB until the run has got somewhat further, as if the disk were full."""
    wait_for(process, run, goal)
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (50_000, hard))
    wait_for(process, run, goal + 2 * IMAGES_PER_EPOCH)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    return f"the disk was full from image {goal} to {goal + 2 * IMAGES_PER_EPOCH}"


def wait_for(process: Started, run: Path, goal: int) -> None:
    """Waits until the run is at a position, or has ended."""
    deadline = time.monotonic() + LIMIT
    while images_seen(run) < goal and process.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{run}: no batch for {LIMIT} s")
        time.sleep(0.001)


# ---------------------------------------------------------------------------------------------- the comparison


def compare(one: Path, other: Path) -> list[str]:
    """What differs between two runs, but for how they were started and the speed that a clock measured."""
    found = []
    for name in ("last.ckpt", "best.ckpt"):
        there = [(run / "checkpoints" / name).exists() for run in (one, other)]
        if all(there):
            first, second = read_checkpoint(one, name), read_checkpoint(other, name)
            del first["config"], second["config"]
            found += differences(first, second, name)
        elif any(there):
            found.append(f"{name} is in one only")
    if metrics(one) != metrics(other):
        found.append(f"metrics.csv: {len(metrics(one))} rows and {len(metrics(other))}, or other metrics")
    for folder, pattern in (("samples", "*.jpg"), ("checkpoints", "epoch*.ckpt")):
        names = [sorted(path.name for path in (run / folder).glob(pattern)) for run in (one, other)]
        if names[0] != names[1]:
            found.append(f"{folder}: {set(names[0]) ^ set(names[1])} are in one only")
        elif folder == "samples":
            found += [n for n in names[0] if (one / folder / n).read_bytes() != (other / folder / n).read_bytes()]
    return found


def torture(folder: Path, case: Case, kills: int, faults: int, epochs: int, seed: int, forked: bool = False) -> Report:
    """Does all of it to one case, in a folder of its own."""
    rng, report = random.Random(seed), Report()
    folder.mkdir(parents=True, exist_ok=True)
    finish(folder, "whole", case, epochs, forked)
    run = folder / "runs" / "killed"
    after = dict(zip(sorted(rng.sample(range(1, kills), faults)), cycle((damage, fill_disk)), strict=False))
    while report.kills.total() < kills:
        number = report.kills.total()
        left = epochs * IMAGES_PER_EPOCH - images_seen(run)
        goal = images_seen(run) + rng.randint(1, max(1, left // (kills - number + 1)))
        with training(folder, "killed", case, epochs, forked) as process:
            if after.get(number) is fill_disk:
                report.faults.append(fill_disk(process, run, goal))
            fell = kill(process, run, goal, rng)
        if fell == "it had ended":
            break
        report.kills[fell] += 1
        print(f"  kill {number + 1:2}: {fell}, at image {images_seen(run)}", flush=True)
        if after.get(number) is damage:
            report.faults.append(damage(run, rng))
    finish(folder, "killed", case, epochs, forked)
    report.differences = compare(folder / "runs" / "whole", run)
    return report


def main() -> int:
    """Prints kills, where they fell, and whether everything is identical."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=8, help="of each of the three cases")
    parser.add_argument("--faults", type=int, default=4, help="damaged checkpoints and full disks of each case")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True, help="an empty one; what is made stays there")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    failed = False
    for number, case in enumerate(CASES):
        print(case.name, flush=True)
        report = torture(
            arguments.folder / str(number),
            case,
            arguments.kills,
            arguments.faults,
            arguments.epochs,
            arguments.seed + number,
        )
        total += report.kills
        for fault in report.faults:
            print(f"  fault: {fault}")
        for difference in report.differences[:10]:
            print(f"  DIFFERS: {difference}")
        print(f"  {'identical' if not report.differences else 'NOT identical'}", flush=True)
        failed |= bool(report.differences)
    fell = ", ".join(f"{count} {where}" for where, count in total.most_common())
    print(f"{total.total()} kills: {fell}; {'NOT identical' if failed else 'identical'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
