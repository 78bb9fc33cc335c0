"""Tables, labels and rankings of cyclegan-evaluate, and docs/measuring.md against the code."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from cyclegan.data.transforms import TrainingView
from cyclegan.evaluate.checkpoints import labels, run_of
from cyclegan.evaluate.command import build_parser
from cyclegan.evaluate.contact_sheets import ranked
from cyclegan.evaluate.networks import features_from
from cyclegan.evaluate.table import best_of, number, of_one, of_several
from cyclegan.metrics.perceptual import Lpips
from cyclegan.validation.catalogue import METRICS, split
from cyclegan.validation.evaluate import evaluate
from cyclegan.validation.feature_cache import References
from tests.data.test_held_out import found as held_out_below
from tests.small import small_cyclegan
from tests.toy_runs import toy_data
from tests.validation.networks import Projection

PAGE = (Path(__file__).parents[2] / "docs" / "measuring.md").read_text(encoding="utf-8")
BOTH = [("A", "B"), ("B", "A")]


def test_the_table_shows_better_sides_spreads_and_the_untouched_input() -> None:
    values = {"psnr_ab": 19.618, "psnr": 19.618, "psnr_copied_ab": 14.2, "kid_ab": 0.01234, "kid_spread_ab": 0.0021}
    text = of_one(values | {"luminance_ab": 0.2, "d_real_b": 0.9, "d_fake_b": 0.3}, [("A", "B")])
    lines = [" ".join(line.split()) for line in text.splitlines() if line]
    assert lines == [
        "A→B",
        *("Paired ground truth", "PSNR, dB ↑ 19.62", "untouched input 14.20"),
        *("Distance to the target domain", "KID ↓ 0.0123 ± 0.002"),
        *("Diagnostics", "Luminance correlation 0.2000"),
        *("Discriminator score", "of real images 0.9000", "of translations 0.3000"),
    ]


def test_no_line_of_a_full_table_is_wider_than_80_columns() -> None:
    names = [metric.column(way, variant) for metric in METRICS.values() for way in BOTH
             for variant in ("", *metric.variants)]  # fmt: skip
    values = dict.fromkeys([*names, *METRICS], 0.12345)
    for way in ("", "_ab", "_ba"):
        values |= {f"psnr{way}": 23.45, f"kid{way}": -0.00123, f"kid_spread{way}": 0.00123, f"fid{way}": 175.34}
    several = of_several([{"epoch": 200.0, "images": 1_234_567, **values}] * 2, BOTH, ["", ""], mark=True)
    assert max(map(len, (of_one(values, BOTH) + "\n" + several).splitlines())) <= 80


def test_the_best_value_is_finite_and_the_first_of_equals() -> None:
    rows = [{"kid": 0.2}, {"kid": 0.1}, {"kid": math.nan}, {"kid": 0.1}, {}]
    assert best_of(rows, "kid") == 1
    assert best_of([{"psnr_ab": 1.0}, {"psnr_ab": 2.0}, {"psnr_ab": math.inf}], "psnr_ab") == 1
    assert best_of([{}], "kid") is None


def test_numbers_have_four_digits() -> None:
    numbers = [number(value) for value in (19.6181, 175.26, 0.05, -0.00046, 1.0)]
    assert numbers == ["19.62", "175.3", "0.0500", "-0.00046", "1.000"]


def test_images_are_ranked_by_psnr_else_by_cycle() -> None:
    def row(**values: float) -> dict[str, Any]:
        return {"direction": "A2B", "image": str(values), **values}

    paired = [row(psnr=20.0, cycle=0.1), row(psnr=math.inf, cycle=0.3), row(psnr=10.0, cycle=0.2), row(cycle=0.9)]
    assert ranked(paired, ("A", "B")) == ("psnr", [paired[2], paired[0], paired[1]])
    unpaired = [row(cycle=0.1), row(cycle=0.3), row(cycle=math.nan)]
    assert ranked(unpaired, ("A", "B")) == ("cycle", [unpaired[1], unpaired[0]])
    assert ranked(paired, ("B", "A")) == ("cycle", [])


def test_the_run_of_a_checkpoint_is_found_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_of(Path("runs/b/../a/checkpoints/of_mine.ckpt")) == tmp_path / "runs/a"
    for name in ("epoch0001.ckpt", "images000000020.ckpt", "best.ckpt"):  # names that runs give
        assert run_of(Path("kept", name)) == tmp_path / "kept"
    assert run_of(Path("kept/x.ckpt")) == tmp_path / "kept/x.ckpt"


def test_labels_leave_out_the_common_folders() -> None:
    paths = [Path(f"runs/{run}/checkpoints/{name}.ckpt") for run in ("t1", "sw/2") for name in ("epoch0010", "last")]
    assert labels(paths) == ["t1/epoch0010", "t1/last", "sw/2/epoch0010", "sw/2/last"]
    assert labels([Path("kept/t1.ckpt"), Path("kept/t2.ckpt"), Path("kept/last.ckpt")]) == ["t1", "t2", "last"]


class AnyLpips(Lpips):
    """LPIPS without weights."""

    def distances(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.float() - b.float()).abs().mean((1, 2, 3))


def listed() -> dict[str, tuple[str, str]]:
    """Return unit and better side of every metric in the page's table, by name."""
    table = PAGE.partition("## The metrics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \|", table, re.M)
    return {name: (unit, better) for names, unit, better in rows for name in re.findall(r"`(\w+)`", names)}


def test_docs_list_every_metric_and_no_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclegan.validation.summary.MIN_PRECISION", 4)
    toy_data(root, test=4).prepare_data()
    held_out = held_out_below(root, view=TrainingView(None, 16, flip=False), pairing="by_name")
    metrics = evaluate(small_cyclegan().eval(), held_out, References(Projection(), None), AnyLpips()).metrics
    assert listed().keys() == {re.sub(r"_b$", "_a", re.sub(r"_ba$", "_ab", name)) for name in metrics}


def test_docs_state_the_better_side_and_the_unit_of_the_catalogue() -> None:
    for name, (unit, better) in listed().items():
        metric, variant, _ = split(name)
        assert better == ("–" if variant else METRICS[metric].better or "–"), name
        assert variant or ("dB" in unit) == METRICS[metric].title.endswith("dB"), name


def test_docs_list_every_option() -> None:
    for action in build_parser()._actions:
        assert action.dest in ("help", "version") or f"`{action.option_strings[-1]}" in PAGE


def test_the_feature_network_of_the_docs_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (code,), (config,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S) for kind in ("python", "yaml"))
    Path("looks.py").write_text(code)
    Path("looks.yaml").write_text(yaml.safe_dump(yaml.safe_load(config)))
    rng = np.random.default_rng(0)
    shapes = {"conv1": (32, 3, 7, 7), "conv2": (5, 32, 3, 3)}
    np.savez("looks.npz", **{name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})  # type: ignore[arg-type]
    network = features_from(Path("looks.yaml"))
    assert network.features(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape == (2, 5)
    assert (network.protocol["network"], network.protocol["size"]) == ("looks.Looks", 224)
