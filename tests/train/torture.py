"""Kill a small training at random moments, damage what it left, and compare its final state with an undisturbed run.

Trains the toy set twice for each case: once undisturbed, and once killed with SIGKILL and resumed by `resume=auto`
each time. Between the kills, checkpoints are cut short or lose a bit, and the disk is full for a while. In the end
weights, optimiser, schedule, pools, averages, random numbers, counters, sample grids and the rows of metrics.csv must
be the same, bit for bit.

    python -m tests.train.torture --folder FOLDER
"""

import argparse
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.tiny_run import METHODS, TINY, differences, metrics, read_checkpoint

LIMIT = 180  # seconds that one start of the training may take
IMAGES_PER_EPOCH = 6  # five images in batches of two
KEPT = 10 * IMAGES_PER_EPOCH  # between checkpoints that stay; none is written while the disk is full
SCRIPT = str(Path(sys.executable).with_name("cyclegan-train"))
ROOT = str(Path(__file__).parents[2])
# A checkpoint every other batch and at the end of every epoch; averages.
OFTEN = (
    *TINY,
    "callbacks=ema",
    "callbacks.checkpointing.every_n_images=4",
    "callbacks.checkpointing.give_up_after=1000",
    "data.root=toy",
)
WORDS = (*OFTEN, *METHODS["cyclegan"], "model.pool_size=3")  # small pools, which are random early
WIDER = ("model.generator.width=8", "model.discriminator.width=8")  # so that checkpoints are larger than metrics.csv
# With 6 downs, the U-Net has dropout.
DROPOUT = ("model.generator.downs=6", "data.source.size=64", "data.load_size=64", "data.crop_size=64")
# The step at which DiscoGAN's reconstruction gets its later weight.
CURRICULUM = ("model.loss_weights.starting_rate=0.01", "model.loss_weights.curriculum=7")
SETUPS = {
    "one process, no workers": (*WORDS, "data.num_workers=0"),
    "one process, two workers": (*WORDS, "data.num_workers=2"),
    "two processes, two workers each": (
        *WORDS,
        "trainer.devices=2",
        "trainer.strategy=ddp",
        "data.batch_size=1",
        "data.num_workers=2",
    ),
}
OTHER_METHODS = {
    "pix2pix": (*OFTEN, *METHODS["pix2pix"], *DROPOUT, "trainer.gradient_clip_val=0.5"),
    "cut": (*OFTEN, *METHODS["cut"]),
    "fastcut": (*OFTEN, *METHODS["fastcut"]),
    "discogan": (*OFTEN, *METHODS["discogan"], *CURRICULUM),
    "dualgan": (*OFTEN, *METHODS["dualgan"], *WIDER),
}
CASES = SETUPS | OTHER_METHODS
# Variables of a cluster or a launcher.
CLUSTER = ("MASTER_", "WORLD_SIZE", "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_", "TORCHELASTIC_", "PL_")


@dataclass
class Report:
    """Kills by the moment at which they fell, the other faults, and the differences in the end."""

    kills: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


# ---------------------------------------------------------------------------------------------- a training


def run_command(words: list[str], folder: Path, variables: dict[str, str], screen: Path) -> None:
    """Run the command like the console script, in a process group of its own."""
    from cyclegan.train import main

    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    with screen.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = [SCRIPT, *words]
    sys.modules["__main__"].__spec__ = None  # Lightning starts the other process by the script, and not as this module
    main()


def environment() -> dict[str, str]:
    """Return the variables of a training: none of a cluster, one thread, and gloo on the loopback device.

    Gloo would look up the name of this machine, which fails in some containers. Processes that Lightning starts import
    classes of these tests, and torch-fidelity installs another package of the name `tests`.
    """
    own = {key: value for key, value in os.environ.items() if not key.startswith(CLUSTER)}
    return own | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "PYTHONPATH": ROOT}


def fork(target: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """Start a process that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cyclegan.train.assembly", "cyclegan.train.command", "cyclegan.train.resume"])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


@contextmanager
def training(folder: Path, name: str, case: tuple[str, ...], epochs: int) -> Iterator[ForkServerProcess]:
    """Start the command in a forked process; kill what is left of it at the end."""
    words = [*case, f"name={name}", f"trainer.max_epochs={epochs}", "resume=auto"]
    process = fork(run_command, words, folder, environment(), folder / f"{name}.txt")
    try:
        yield process
    finally:
        end_all(process)


def end_all(process: ForkServerProcess) -> None:
    """Kill a training with all its processes, and wait for the first."""
    assert process.pid is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def finish(folder: Path, name: str, case: tuple[str, ...], epochs: int) -> None:
    """Run a training to its end."""
    with training(folder, name, case, epochs) as process:
        process.join(LIMIT)
        code = process.exitcode
    if code != 0:
        raise RuntimeError(f"{name} ended with {code}:\n{(folder / f'{name}.txt').read_text()}")


def images_seen(run: Path) -> int:
    """Return the last position in metrics.csv, which has a row for every batch."""
    try:
        lines = (run / "metrics.csv").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return int(lines[-1].partition(",")[0]) if len(lines) > 1 else 0


def is_saving(run: Path) -> bool:
    folder = run / "checkpoints"
    return folder.is_dir() and any(name.endswith(".part") for name in os.listdir(folder))  # noqa: PTH208 - quick


def wait_for(process: ForkServerProcess, run: Path, goal: int, moment: str = "any") -> bool:
    """Wait until the run is at or after a position, at a moment of a kind; return False if it has ended."""
    deadline = time.monotonic() + LIMIT
    while process.exitcode is None:
        at_edge = images_seen(run) % IMAGES_PER_EPOCH == 0
        now = {"any": True, "saving": is_saving(run), "edge": at_edge and not is_saving(run)}
        if images_seen(run) >= goal and now[moment]:
            return True
        if time.monotonic() > deadline:
            raise TimeoutError(f"{run}: no batch for {LIMIT} s")
        time.sleep(0.0003)  # leaves the processor to the training
    return False


# ---------------------------------------------------------------------------------------------- the faults


def kill(process: ForkServerProcess, run: Path, goal: int, rng: random.Random) -> str | None:
    """Kill a run at or after a position, sometimes its first process alone; return the moment, None if it has ended."""
    begun = images_seen(run)
    moment = rng.choice(("any", "edge", "saving"))
    if not wait_for(process, run, goal, moment):
        return None
    time.sleep(0 if moment == "saving" else rng.uniform(0, 0.02))
    if rng.random() < 0.3:
        process.kill()  # its children notice by themselves
        process.join()
        time.sleep(0.2)
    end_all(process)
    if is_saving(run):
        return "while saving"
    if images_seen(run) == begun:
        return "before the first batch"
    return "at an epoch's edge" if images_seen(run) % IMAGES_PER_EPOCH == 0 else "mid-epoch"


def damage(run: Path, rng: random.Random) -> str:
    """Damage the newest checkpoint, at times under both of its names."""
    path = run / "checkpoints" / "last.ckpt"
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content) // 4, 3 * len(content) // 4)
    if rng.random() < 0.5:
        del content[place:]
    else:
        content[place] ^= 1 << rng.randrange(8)
    if rng.random() < 0.5:
        path.unlink()
    path.write_bytes(content)
    return f"last.ckpt damaged at byte {place}"


def fill_disk(process: ForkServerProcess, run: Path, goal: int) -> str:
    """Limit files to 300 kB for two epochs, as if the disk were full: metrics.csv is smaller, a checkpoint larger."""
    assert process.pid is not None
    length = 2 * IMAGES_PER_EPOCH
    next_kept = (goal + length + IMAGES_PER_EPOCH) // KEPT * KEPT
    goal = next_kept + 1 if next_kept >= goal else goal
    if not wait_for(process, run, goal):
        return "the training ended before the disk was full"
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (300_000, hard))
    wait_for(process, run, goal + length)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    return f"the disk was full from image {goal} to {goal + length}"


# ---------------------------------------------------------------------------------------------- the comparison


def compare(one: Path, other: Path) -> list[str]:
    """List the differences between two runs, except for the configuration and the speed."""
    found = []
    for folder, pattern in (("samples", "*.jpg"), ("checkpoints", "[ble]*.ckpt")):
        names = [sorted(path.name for path in (run / folder).glob(pattern)) for run in (one, other)]
        found += [f"{folder}/{name} is in one only" for name in set(names[0]) ^ set(names[1])]
    if found:
        return found
    for name in ("last.ckpt", "best.ckpt"):
        if (one / "checkpoints" / name).exists():
            first, second = read_checkpoint(one, name), read_checkpoint(other, name)
            del first["config"], second["config"]
            found += differences(first, second, name)
    if metrics(one) != metrics(other):
        found.append(f"metrics.csv: {len(metrics(one))} rows and {len(metrics(other))}, or other metrics")
    for image in (one / "samples").iterdir():
        if image.read_bytes() != (other / "samples" / image.name).read_bytes():
            found.append(f"samples/{image.name}")
    return found


def torture(folder: Path, case: tuple[str, ...], kills: int, faults: int, epochs: int, seed: int) -> Report:
    """Train one case undisturbed and disturbed, in a folder of its own."""
    rng, report = random.Random(seed), Report()
    folder.mkdir(parents=True, exist_ok=True)
    finish(folder, "whole", case, epochs)
    run = folder / "runs" / "killed"
    after = dict(zip(sorted(rng.sample(range(1, kills), faults)), cycle((damage, fill_disk)), strict=False))
    for number in range(kills):
        left = epochs * IMAGES_PER_EPOCH - images_seen(run)
        goal = images_seen(run) + rng.randint(1, max(1, left // (kills - number + 1)))
        with training(folder, "killed", case, epochs) as process:
            if after.get(number) is fill_disk:
                report.faults.append(fill_disk(process, run, goal))
            moment = kill(process, run, goal, rng)
        if moment is None:
            break
        report.kills[moment] += 1
        print(f"  kill {number + 1:2}: {moment}, at image {images_seen(run)}", flush=True)
        if after.get(number) is damage:
            report.faults.append(damage(run, rng))
    finish(folder, "killed", case, epochs)
    report.differences = compare(folder / "runs" / "whole", run)
    return report


def main() -> int:
    """Print the kills and their moments, the faults, and the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder, which keeps the runs")
    args = parser.parse_args()
    total: Counter[str] = Counter()
    failed = False
    for number, (name, case) in enumerate(CASES.items()):
        print(name, flush=True)
        report = torture(args.folder / str(number), case, kills=8, faults=4, epochs=60, seed=number)
        total += report.kills
        failed |= bool(report.differences)
        for line in (*report.faults, *report.differences[:10], "DIFFERENT" if report.differences else "identical"):
            print(f"  {line}", flush=True)
    print(f"{total.total()} kills: {dict(total.most_common())}; {'DIFFERENT' if failed else 'identical'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
