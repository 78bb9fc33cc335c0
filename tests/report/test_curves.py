"""Which curves share a chart, and what plotly is given."""

from typing import Any

from cyclegan.report.curves import MAX_POINTS, Chart, ChartGroup, training_curves, validation_curves
from cyclegan.report.run_files import Row


def rows(count: int, **metrics: float) -> list[Row]:
    """Rows at 10, 20, 30 images and so on; a metric grows by its number in each row."""
    named = {name.replace("__", "/"): step for name, step in metrics.items()}
    return [Row(10 * i, i / 2, {name: step * i for name, step in named.items()}) for i in range(1, count + 1)]


def charts(groups: list[ChartGroup]) -> dict[str, Chart]:
    """By their titles."""
    return {chart.title: chart for group in groups for chart in group.charts}


def curve(chart: Chart, name: str) -> dict[str, Any]:
    """One curve of a chart."""
    (found,) = [trace for trace in chart.figure["data"] if trace["name"] == name]
    assert isinstance(found, dict)
    return found


def test_a_curve_is_the_metric_over_images_with_the_epoch_to_hover_on() -> None:
    found = curve(charts(training_curves(rows(3, train__adv_ab=0.5)))["Adversarial"], "A→B")
    assert list(found["x"]) == [10, 20, 30]
    assert list(found["y"]) == [0.5, 1.0, 1.5]
    assert list(found["customdata"]) == [0.5, 1.0, 1.5]
    assert "epoch %{customdata" in found["hovertemplate"]


def test_without_epochs_the_hover_text_speaks_of_none() -> None:
    at = [Row(10, None, {"train/adv_ab": 1.0}), Row(20, 1.0, {"train/adv_ab": 2.0})]
    found = curve(charts(training_curves(at))["Adversarial"], "A→B")
    assert "epoch" not in found["hovertemplate"]
    assert list(found["x"]) == [10, 20]


def test_directions_share_a_chart_in_colours_of_their_own() -> None:
    found = charts(validation_curves(rows(2, val__psnr_ab=1, val__psnr_ba=2, val__psnr=1.5, val__psnr_copied_ba=3)))
    assert list(found) == ["PSNR, dB"]
    styles = {t["name"]: (t["meta"], t["line"].get("dash")) for t in found["PSNR, dB"].figure["data"]}
    assert styles == {
        "A→B": ("0", None),
        "B→A": ("1", None),
        "mean": ("mean", None),
        "copied B→A": ("1", "dash"),  # the baseline in the colour of its direction
    }


def test_the_spread_becomes_bars_and_no_curve() -> None:
    chart = charts(validation_curves(rows(2, val__kid_ab=0.1, val__kid_spread_ab=0.01, val__kid_copied_ab=0.3)))["KID"]
    assert [trace["name"] for trace in chart.figure["data"]] == ["A→B", "copied A→B"]
    assert list(curve(chart, "A→B")["error_y"]["array"]) == [0.01, 0.02]
    assert "error_y" not in curve(chart, "copied A→B")


def test_metrics_are_grouped_and_symptoms_folded_away() -> None:
    found = validation_curves(rows(2, val__variety_ab=1, val__mine_ab=1, val__cycle_a=1, val__fid_ab=1, val__psnr_ab=1))
    assert [(group.title, group.is_open) for group in found] == [
        ("Known answers", True),
        ("Distances to the target domain", True),
        ("What a translation keeps", True),
        ("Others", True),
        ("Symptoms", False),
    ]
    hints = {title: chart.hint for title, chart in charts(found).items()}
    assert (hints["PSNR, dB"], hints["FID"]) == ("higher is better", "lower is better")
    assert hints["Variety of the outputs, 1 as real ones"] == ""


def test_losses_come_by_term_and_the_learning_rates_last() -> None:
    metrics = {"lr__generators": 1.0, "lr__discriminators": 1.0, "train__adv_ab": 1.0, "train__penalty_a": 1.0}
    (group,) = training_curves(rows(2, **metrics))
    assert [chart.title for chart in group.charts] == ["Adversarial", "Penalty of the discriminators", "Learning rate"]
    assert [trace["name"] for trace in group.charts[-1].figure["data"]] == ["generators", "discriminators"]
    assert all(trace.get("showlegend") is not False for trace in group.charts[-1].figure["data"])


def test_a_long_curve_is_thinned_to_means_and_the_page_says_so() -> None:
    (group,) = training_curves(rows(2 * MAX_POINTS, train__adv_ab=1.0))
    found = curve(group.charts[0], "A→B")
    assert len(found["y"]) == MAX_POINTS
    assert (found["y"][0], found["x"][0]) == (1.5, 15)  # of the rows with 1 and 2, at 10 and 20 images
    assert f"{MAX_POINTS} points a curve" in group.note
    assert "points a curve" not in training_curves(rows(3, train__adv_ab=1.0))[0].note


def test_a_chart_says_in_words_what_it_shows() -> None:
    (chart,) = charts(validation_curves(rows(3, val__psnr_ab=5.0))).values()
    assert chart.description == "PSNR, dB over images seen: A→B from 5 to 15"
