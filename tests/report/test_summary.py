"""First, latest and best of a metric, worked out by hand."""

import pytest

from cyclegan.report.names import full, split
from cyclegan.report.run_files import Row
from cyclegan.report.summary import Summary, main_metrics, summarise


def summaries(**histories: list[float]) -> dict[str, Summary]:
    """Of metrics that were measured at epochs 0, 2, 4 and so on, of 10 images each."""
    columns = {f"val/{name}": values for name, values in histories.items()}
    length = max(map(len, columns.values()))
    rows = [
        Row(20 * i, 2.0 * i, {name: values[i] for name, values in columns.items() if i < len(values)})
        for i in range(length)
    ]
    return {summary.name: summary for summary in summarise([Row(5, 0.5, {"train/adv_ab": 1.0}), *rows])}


def test_first_latest_and_best_with_its_epoch() -> None:
    psnr = summaries(psnr_ab=[15.0, 19.0, 18.0])["psnr_ab"]
    assert (psnr.first.value, psnr.latest.value, psnr.latest.images) == (15.0, 18.0, 40)
    assert psnr.best is not None
    assert (psnr.best.value, psnr.best.epoch) == (19.0, 2.0)


@pytest.mark.parametrize(
    ("name", "values", "direction", "verdict", "best"),
    [
        ("psnr", [15.0, 18.0], "up", "better", 18.0),
        ("ssim_ab", [0.6, 0.5], "down", "worse", 0.5),  # the untrained networks are no checkpoint
        ("kid", [0.2, 0.1], "down", "better", 0.1),
        ("fid_ba", [80.0, 90.0, 95.0], "up", "worse", 90.0),
        ("cycle_a", [0.3, 0.3], "level", "", 0.3),
    ],
)
def test_up_is_better_for_some_metrics_and_worse_for_others(
    name: str, values: list[float], direction: str, verdict: str, best: float
) -> None:
    found = summaries(**{name: values})[name]
    assert (found.direction, found.verdict) == (direction, verdict)
    assert found.best is not None
    assert found.best.value == best


@pytest.mark.parametrize("name", ["variety_ab", "d_fake_a", "psnr_copied_ab"])
def test_symptoms_and_baselines_have_no_best(name: str) -> None:
    found = summaries(**{name: [0.2, 0.4]})[name]
    assert (found.best, found.verdict) == (None, "")


def test_a_spread_stands_beside_its_own_latest_metric_only() -> None:
    found = summaries(kid_ab=[0.2, 0.1], kid_spread_ab=[0.02, 0.01], kid_ba=[0.3, 0.2], kid_spread_ba=[0.03], kid=[0.2])
    assert found["kid_ab"].spread == 0.01
    assert found["kid_ba"].spread is None  # it was not measured with the latest
    assert found["kid"].spread is None
    assert "kid_spread_ab" not in found


def test_the_main_metrics_are_means_or_directions_where_there_is_no_mean() -> None:
    found = summaries(cycle=[1.0], kid_ab=[1.0], psnr_ab=[1.0], psnr=[1.0], psnr_copied_ab=[1.0], change_ab=[1.0])
    assert [summary.name for summary in main_metrics(list(found.values()))] == ["psnr", "kid_ab", "cycle"]


@pytest.mark.parametrize(
    ("name", "parts", "words"),
    [
        ("psnr", ("psnr", "", ""), "PSNR, dB"),
        ("kid_spread_ab", ("kid", "spread", "ab"), "KID · spread · A→B"),
        ("d_real_a", ("realness", "real", "a"), "Realness as the discriminators see it · real · A"),
        ("ssim_photo_map", ("ssim", "", "photo_map"), "SSIM · photo_map"),
        ("mine", ("mine", "", ""), "mine"),
    ],
)
def test_names_in_parts_and_in_words(name: str, parts: tuple[str, str, str], words: str) -> None:
    assert split(name) == parts
    assert full(name) == words
