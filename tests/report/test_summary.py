"""First, latest and best values of metrics."""

import pytest

from cyclegan.report.page import Summary, label, summarise
from cyclegan.report.run_files import Row


def summaries(**histories: list[float]) -> dict[str, Summary]:
    """Summarise metrics measured at epochs 0, 2, 4 and so on, of 10 images each."""
    length = max(map(len, histories.values()))
    rows = [
        Row(20 * i, 2.0 * i, {f"val/{name}": values[i] for name, values in histories.items() if i < len(values)})
        for i in range(length)
    ]
    return {summary.label: summary for summary in summarise([Row(5, 0.5, {"train/adv_ab": 1.0}), *rows])}


@pytest.mark.parametrize(
    ("column", "values", "verdict", "best", "epoch"),
    [
        ("psnr", [15.0, 19.0, 18.0], "better", 19.0, 2.0),
        ("ssim_ab", [0.6, 0.5], "worse", 0.5, 2.0),  # epoch 0 has no checkpoint
        ("fid_ba", [80.0, 90.0, 95.0], "worse", 90.0, 2.0),
        ("cycle_a", [0.3, 0.3], "", 0.3, 2.0),
        ("psnr_copied_ab", [0.2, 0.4], "", None, None),
    ],
)
def test_first_latest_and_best(
    column: str, values: list[float], verdict: str, best: float | None, epoch: float | None
) -> None:
    found = summaries(**{column: values})[label(column)]
    assert (found.first, found.latest) == (values[0], values[-1])
    assert (found.verdict, found.best, found.best_epoch) == (verdict, best, epoch)


def test_the_spread_of_the_latest_value_stands_beside_it() -> None:
    found = summaries(kid_ab=[0.2, 0.1], kid_spread_ab=[0.02, 0.01], kid_ba=[0.3, 0.2], kid_spread_ba=[0.03], kid=[0.2])
    assert {name: summary.spread for name, summary in found.items()} == {
        "KID · A→B": 0.01,
        "KID · B→A": None,  # not measured with the latest value
        "KID": None,
    }


def test_metrics_are_in_the_order_of_the_catalogue() -> None:
    assert list(summaries(mine=[1.0], cycle=[1.0], psnr_ab=[1.0])) == ["PSNR, dB · A→B", "Cycle L1", "mine"]


def test_labels() -> None:
    assert label("d_real_a") == "Discriminator score · of real images · A"
    assert label("ssim_photo_map") == "SSIM · photo_map"
