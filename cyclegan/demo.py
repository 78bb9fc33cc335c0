"""cyclegan-demo: train on the toy set, then evaluate the translations of its test images."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cyclegan.callbacks.stop_signals import StopRequestedError
from cyclegan.cli import add_version, open_screen, positive
from cyclegan.errors import UserError
from cyclegan.evaluate import command as evaluate
from cyclegan.train.command import quieten, train
from cyclegan.train.configuration import conf_dir

PROGRAM = "cyclegan-demo"


def run(
    root: Path, output: Path, seed: int, epochs: int | None, overrides: Sequence[str] = ()
) -> dict[tuple[str, str], tuple[float, float]]:
    """Train on the toy set and evaluate the last checkpoint, with contact sheets, into `output/evaluation`.

    Args:
        root: folder of the toy set, which is drawn if it is missing.
        output: the run folder; an earlier run in it is replaced.
        seed: seed of the run.
        epochs: number of epochs; None takes that of `experiment=toy`.
        overrides: other settings of `cyclegan-train`, such as `adversarial=hinge`.

    Returns:
        for each direction the mean PSNR to the ground truth in dB, of the input and of its translation.
    """
    from hydra import compose, initialize_config_dir

    from cyclegan.validation.catalogue import METRICS

    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train", ["experiment=toy", "name=demo", "overwrite=true", "logger=csv", *overrides])
    # Set here, because paths as overrides would need quoting for Hydra.
    config.run_dir, config.data.root, config.seed = str(output), str(root), seed
    if epochs is not None:
        config.trainer.max_epochs = epochs
    train(config)

    arguments = ["--checkpoint", str(output / "checkpoints" / "last.ckpt"), "--output", str(output / "evaluation")]
    options = evaluate.build_parser().parse_args([*arguments, "--split", "test", "--device", "cpu"])
    (result,) = evaluate.run(options)
    psnr, metrics = METRICS["psnr"], result.evaluation.metrics
    directions = (("A", "B"), ("B", "A"))
    return {way: (metrics[psnr.column(way, "copied")], metrics[psnr.column(way)]) for way in directions}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train on the toy set (a few minutes on a CPU), evaluate the translations of its test images, and "
        "print their PSNR to the ground truth.",
    )
    add_version(parser)
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="run folder (default: %(default)s)")
    parser.add_argument(
        "--data", type=Path, default=Path("data/toy"), help="toy set, drawn if missing (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the run (default: %(default)s)")
    parser.add_argument("--epochs", type=positive, help="number of epochs (default: that of experiment=toy)")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    open_screen()
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    quieten()
    start = time.monotonic()
    try:
        psnrs = run(args.data, args.output, args.seed, args.epochs)
    except StopRequestedError as stop:
        sys.exit(f"{PROGRAM}: {stop}; the next start begins from the first epoch")
    except UserError as error:
        sys.exit(f"{PROGRAM}: {error}")
    print(f"\nmean PSNR to the ground truth of {args.data}, after {time.monotonic() - start:.0f} s:")
    print("         copying the input   translated     gain")
    for (source, target), (copied, translated) in psnrs.items():
        gain = translated - copied
        print(f"{source} → {target}    {copied:12.2f} dB   {translated:7.2f} dB  {gain:+6.2f} dB")
    print(f"\ntranslations: {args.output / 'evaluation' / 'best_A2B.jpg'}\nover training: {args.output / 'samples'}")


if __name__ == "__main__":
    main()
