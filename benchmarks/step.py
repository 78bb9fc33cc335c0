"""Speed and memory of one training step in several settings, beside the authors' order of it in plain PyTorch.

A setting is `authors`, or a precision (float32, tf32, bf16) with any of channels_last, fused (optimiser), compile,
reduce-overhead (compiled, with CUDA graphs) and checkpointing (of activations), joined by plus signs. All settings of a
size and batch size take turns, so that a machine that grows slower or faster favours none; a ratio is the median over
the turns. `authors` has the order, networks and optimisers of the authors' code with torch's defaults, by which
convolutions may use TF32 on a GPU; the other settings are `CycleGAN` with 6 blocks, from 256² on 9. Images are noise,
as their values do not change the speed.

share   achieved share of the fastest bf16 matrix product measured on the machine
memory  on a GPU, the peak that torch allocates above what it held before; on a CPU, the growth of the peak resident
        memory of a process of its own
loss    sum of all terms after two updates with the same images, by which one sees that all settings learn the same

python benchmarks/step.py --sizes 128 --batches 1 4 --settings authors bf16 bf16+channels_last+fused --json step.json
"""

import argparse
import gc
import itertools
import json
import logging
import os
import platform
import resource
import statistics
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cyclegan.callbacks.compilation import compile_for_training
from cyclegan.image_pool import ImagePool
from cyclegan.methods.cyclegan import CycleGAN
from cyclegan.networks.patchgan import PatchDiscriminator
from cyclegan.networks.resnet import ResnetGenerator

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
AUTHORS = "authors"
OPTIONS = ("channels_last", "fused", "compile", "reduce-overhead", "checkpointing")
FAST = "channels_last+fused"
DEFAULTS: dict[str, tuple[list[int], list[int], list[str]]] = {  # sizes, batch sizes, settings
    "cuda": (
        [64, 128, 256],
        [1, 2, 4, 8, 16],
        [
            *("float32", f"float32+{FAST}", "tf32", f"tf32+{FAST}", "bf16", "bf16+channels_last", f"bf16+{FAST}"),
            *(f"bf16+{FAST}+compile", f"bf16+{FAST}+reduce-overhead"),
        ],
    ),
    "cpu": ([64, 128, 256], [1], ["float32", f"float32+{FAST}", "bf16", f"bf16+{FAST}"]),
}
MATRICES = {"cuda": (2048, 4096, 8192), "cpu": (2048, 4096)}

Step = Callable[[], Tensor]
"""Trains on the batch, and returns the sum of the terms of the loss before."""


@dataclass(frozen=True)
class Shape:
    """What all settings that take turns have in common."""

    size: int  # height and width of the images
    batch: int
    width: int  # channels of the networks' first layers

    @property
    def blocks(self) -> int:
        return 9 if self.size >= 256 else 6

    def images(self) -> tuple[Tensor, Tensor]:
        noise = torch.Generator().manual_seed(0)
        a, b = torch.rand(2, self.batch, 3, self.size, self.size, generator=noise) * 2 - 1
        return a, b


@dataclass
class Row:
    """What was measured of a setting."""

    size: int
    batch: int
    setting: str
    status: str = "not run: no time was left"
    first_step_s: float | None = None  # with compilation
    loss: float | None = None
    memory_mb: float | None = None
    step_s: list[float] = field(default_factory=list)  # seconds of a step in each turn
    pairs_per_s: float | None = None
    ratio: float | None = None  # to the authors' order
    share: float | None = None


# ---------------------------------------------------------------------------------------- the authors' order


def plain_generator(width: int, blocks: int) -> nn.Sequential:
    """Build the paper's generator, with its parameters in the order of `ResnetGenerator`."""

    def unit(*layers: nn.Module, channels: int) -> list[nn.Module]:
        return [*layers, nn.InstanceNorm2d(channels), nn.ReLU(True)]

    layers = unit(nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), channels=width)
    for c in (width, 2 * width):
        layers += unit(nn.Conv2d(c, 2 * c, 3, stride=2, padding=1), channels=2 * c)
    layers += [Residual(4 * width) for _ in range(blocks)]
    for c in (2 * width, width):
        layers += unit(nn.ConvTranspose2d(2 * c, c, 3, stride=2, padding=1, output_padding=1), channels=c)
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


class Residual(nn.Sequential):
    """The generator's residual block."""

    def __init__(self, channels: int) -> None:
        def half() -> list[nn.Module]:
            return [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]

        super().__init__(*half(), nn.ReLU(True), *half())

    def forward(self, x: Tensor) -> Tensor:
        correction: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return x + correction


def plain_discriminator(width: int) -> nn.Sequential:
    """Build the paper's 70 × 70 PatchGAN, with its parameters in the order of `PatchDiscriminator`."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
    for before, after, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
        layers += [
            nn.Conv2d(before * width, after * width, 4, stride=stride, padding=1),
            nn.InstanceNorm2d(after * width),
            nn.LeakyReLU(0.2, True),
        ]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, padding=1))


def authors_order(shape: Shape, device: str = DEVICE) -> Step:
    """Return the step of the authors' code: separate passes, generators first, an optimiser for each player."""
    gen_ab, gen_ba = (plain_generator(shape.width, shape.blocks).to(device) for _ in "AB")
    disc_a, disc_b = (plain_discriminator(shape.width).to(device) for _ in "AB")
    if device != "meta":
        ours = cyclegan(shape)
        for mine, theirs in (
            (gen_ab, ours.gen_ab),
            (gen_ba, ours.gen_ba),
            (disc_a, ours.disc_a),
            (disc_b, ours.disc_b),
        ):
            torch.nn.utils.vector_to_parameters(
                torch.nn.utils.parameters_to_vector(theirs.parameters()).to(device), mine.parameters()
            )
    a, b = (images.to(device) for images in shape.images())
    adam = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))
    opt_g = adam(itertools.chain(gen_ab.parameters(), gen_ba.parameters()))
    opt_d = adam(itertools.chain(disc_a.parameters(), disc_b.parameters()))
    pool_a, pool_b = ImagePool(), ImagePool()

    def mse_to(scores: Tensor, label: float) -> Tensor:
        return F.mse_loss(scores, torch.full_like(scores, label))

    def step() -> Tensor:
        fake_b = gen_ab(a)
        rec_a = gen_ba(fake_b)
        fake_a = gen_ba(b)
        rec_b = gen_ab(fake_a)

        for disc in (disc_a, disc_b):
            disc.requires_grad_(False)
        opt_g.zero_grad()
        loss_g = 5 * F.l1_loss(gen_ab(b), b) + 5 * F.l1_loss(gen_ba(a), a)
        loss_g = loss_g + mse_to(disc_b(fake_b), 1.0) + mse_to(disc_a(fake_a), 1.0)
        loss_g = loss_g + 10 * F.l1_loss(rec_a, a) + 10 * F.l1_loss(rec_b, b)
        loss_g.backward()
        opt_g.step()

        for disc in (disc_a, disc_b):
            disc.requires_grad_(True)
        opt_d.zero_grad()
        total = loss_g.detach()
        for disc, real, fake, pool in ((disc_a, a, fake_a, pool_a), (disc_b, b, fake_b, pool_b)):
            loss_d = 0.5 * (mse_to(disc(real), 1.0) + mse_to(disc(pool.query(fake)), 0.0))
            loss_d.backward()
            total = total + loss_d.detach()
        opt_d.step()
        return total

    return step


def flops(shape: Shape) -> int:
    """Count the floating-point operations of the step's convolutions, without computing them."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        authors_order(shape, "meta")()
    return int(counter.get_total_flops())


# ------------------------------------------------------------------------------------------------ CycleGAN


def cyclegan(shape: Shape, options: Collection[str] = ()) -> CycleGAN:
    torch.manual_seed(0)
    checkpointing = "checkpointing" in options
    return CycleGAN(
        partial(ResnetGenerator, width=shape.width, blocks=shape.blocks, activation_checkpointing=checkpointing),
        partial(PatchDiscriminator, width=shape.width),
        optimizer=partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999), fused="fused" in options),
        channels_last="channels_last" in options,
    )


def autocast(precision: str) -> torch.autocast:
    """Return the context of a precision, as Lightning has it."""
    return torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)


def cyclegan_step(shape: Shape, setting: str) -> Step:
    """Return the step of `CycleGAN` in a setting."""
    precision, *options = setting.split("+")
    model = cyclegan(shape, options).to(DEVICE)
    optimizer = model.configure_optimizers()["optimizer"]
    a, b = (images.to(DEVICE) for images in shape.images())
    if "compile" in options or "reduce-overhead" in options:
        for network in model.compiled():
            compile_for_training(network, "reduce-overhead" if "reduce-overhead" in options else None)

    def step() -> Tensor:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
        if "reduce-overhead" in options:
            torch.compiler.cudagraph_mark_step_begin()
        with autocast(precision):
            cycle = model.cycle(a, b)
            losses = model.generator_losses(cycle) | model.discriminator_losses(cycle)
            loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def build(shape: Shape, setting: str) -> Step:
    if setting != AUTHORS:
        return cyclegan_step(shape, setting)
    step = authors_order(shape)

    def with_defaults() -> Tensor:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False
        return step()

    return with_defaults


class Raise(logging.Handler):
    """Raises what is logged: a network that was not compiled is no measurement of a compiled one."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(record.getMessage())


# ---------------------------------------------------------------------------------------------- measuring


def synchronise() -> None:
    if ON_GPU:
        torch.cuda.synchronize()


def seconds(call: Callable[[], object], times: int = 1) -> float:
    synchronise()
    start = time.perf_counter()
    for _ in range(times):
        call()
    synchronise()
    return (time.perf_counter() - start) / times


def ceiling() -> float:
    """Measure the operations per second of the fastest of several bf16 matrix products."""
    best = 0.0
    for n in MATRICES[DEVICE]:
        product = partial(torch.mm, *torch.randn(2, n, n, device=DEVICE).to(torch.bfloat16))
        best = max(best, *(2 * n**3 / seconds(product) for _ in range(5)))
    return best


def growth_of_a_process(build: Callable[[], Step], threads: int) -> float:
    """Return the megabytes by which two steps raise the peak of this process, which has done nothing else."""
    torch.set_num_threads(threads)
    for setting in ("float32", f"bf16+{FAST}"):
        cyclegan_step(Shape(size=32, batch=1, width=8), setting)()  # loads libraries
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = build()
    step()
    step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e6


def memory_on_cpu(build: Callable[[], Step]) -> float:
    """Return the megabytes that two steps take in a process of their own."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"  # by itself, glibc keeps up to a fifth more than is in use
    # Forked by a server that is still small: a process inherits the peak of the one that starts it.
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
        return pool.submit(growth_of_a_process, build, torch.get_num_threads()).result()


def prepare(shape: Shape, row: Row) -> Step:
    """Build a setting and take its first steps, which compile it and show what it needs."""
    held = 0
    if ON_GPU:
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    step = build(shape, row.setting)
    row.first_step_s = seconds(step)
    step()
    row.loss = float(step())
    row.memory_mb = (
        (torch.cuda.max_memory_allocated() - held) / 1e6
        if ON_GPU
        else memory_on_cpu(partial(build, shape, row.setting))
    )
    return step


def attempt(row: Row, shape: Shape) -> Step | None:
    try:
        step = prepare(shape, row)
    except Exception as error:  # out of memory, or what this device does not compile
        row.status = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}"
        return None
    row.status = "ok"
    return step


def measure(shape: Shape, settings: Sequence[str], turns: int, until: float) -> list[Row]:
    """Measure all settings in turns; none begins and no second turn begins after `until`."""
    rows = [Row(shape.size, shape.batch, setting) for setting in settings]
    running: list[tuple[Row, Step]] = []
    for row in rows:
        if time.monotonic() < until and (step := attempt(row, shape)):
            running.append((row, step))
    times = 1
    if running:
        times = max(1, int(0.5 / seconds(running[-1][1])))
    for turn in range(turns):
        if turn and time.monotonic() > until:
            break
        for row, step in running:
            row.step_s.append(seconds(step, times))
    return rows


def evaluate(rows: Sequence[Row], operations: int, fastest: float) -> None:
    """Fill in what follows from the seconds of each turn."""
    plain = next((row.step_s for row in rows if row.setting == AUTHORS), [])
    for row in rows:
        if row.step_s:
            median = statistics.median(row.step_s)
            row.pairs_per_s = row.batch / median
            row.share = operations / median / fastest
            if plain:
                row.ratio = statistics.median(p / s for p, s in zip(plain, row.step_s, strict=True))


def machine(fastest: float) -> dict[str, str | int | float]:
    return {
        "device": torch.cuda.get_device_name() if ON_GPU else processor(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "bf16_tflops": round(fastest / 1e12, 3),
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


# ------------------------------------------------------------------------------------------------- results

COLUMNS = ("size", "batch", "setting", "pairs/s", "ratio", "share", "memory MB", "first step s", "loss")


def cells(row: Row) -> Iterator[str]:
    yield from (f"{row.size}²", str(row.batch), row.setting)
    if row.status != "ok":
        yield row.status
        return
    values = (row.pairs_per_s, row.ratio, row.share, row.memory_mb, row.first_step_s, row.loss)
    for value, form in zip(values, (".2f", ".2f", ".1%", ".0f", ".1f", ".4f"), strict=True):
        yield "" if value is None else format(value, form)


def setting_name(text: str) -> str:
    precision, *options = text.split("+")
    if text != AUTHORS and (precision not in ("float32", "tf32", "bf16") or not set(options) <= set(OPTIONS)):
        raise argparse.ArgumentTypeError(f"{text}: a precision is float32, tf32 or bf16, with +{', +'.join(OPTIONS)}")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes, batches, settings = DEFAULTS[DEVICE]
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes, help="height and width of the images")
    parser.add_argument("--batches", type=int, nargs="+", default=batches, help="batch sizes")
    parser.add_argument("--settings", type=setting_name, nargs="+", default=settings, help=f"beside {AUTHORS}")
    parser.add_argument("--width", type=int, default=64, help="channels of the networks' first layers")
    parser.add_argument("--turns", type=int, default=5 if ON_GPU else 3)
    parser.add_argument("--seconds", type=float, default=540, help="begin no further setting or turn after this time")
    parser.add_argument("--json", type=Path, help="write all measurements to this file too")
    args = parser.parse_args()
    if any(size % 4 for size in args.sizes):
        parser.error(f"--sizes {' '.join(map(str, args.sizes))}: the generators take multiples of 4")
    end = time.monotonic() + args.seconds
    warnings.filterwarnings("ignore", category=UserWarning)  # advice of the compiler
    torch.backends.cudnn.benchmark = True  # as cyclegan-train and the authors' code set it
    logging.getLogger(compile_for_training.__module__).addHandler(Raise())
    torch._dynamo.config.recompile_limit = 64  # the settings share their code, and each has graphs of its own

    fastest = ceiling()
    described = machine(fastest)
    print(", ".join(f"{name} {value}" for name, value in described.items()), end="\n\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    shapes = [Shape(size, batch, args.width) for size in args.sizes for batch in args.batches]
    done: list[Row] = []
    for count, shape in enumerate(shapes):
        until = time.monotonic() + (end - time.monotonic()) / (len(shapes) - count)
        rows = measure(shape, [AUTHORS, *(s for s in args.settings if s != AUTHORS)], args.turns, until)
        evaluate(rows, flops(shape), fastest)
        for row in rows:
            print(f"| {' | '.join(cells(row))} |", flush=True)
        done += rows
        if args.json:
            args.json.write_text(json.dumps({"machine": described, "rows": [asdict(row) for row in done]}, indent=1))
        torch.compiler.reset()  # or the compiler would generalise over batch sizes
        gc.collect()  # modules and their hooks hold each other
        if ON_GPU:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
