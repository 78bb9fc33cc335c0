"""Grouping of curves into charts, and the data passed to plotly."""

import json
from typing import Any

from cyclegan.report.charts import MAX_POINTS, Chart, training_charts, validation_charts
from cyclegan.report.run_files import Row
from cyclegan.validation.catalogue import Group


def rows(count: int, **metrics: float) -> list[Row]:
    """Make rows at 10, 20, 30 images and so on; each metric grows by its number per row."""
    named = {name.replace("__", "/"): step for name, step in metrics.items()}
    return [Row(10 * i, i / 2, {name: step * i for name, step in named.items()}) for i in range(1, count + 1)]


def by_title(groups: dict[Group, list[Chart]]) -> dict[str, Chart]:
    return {chart.title: chart for charts in groups.values() for chart in charts}


def curves(chart: Chart) -> dict[str, dict[str, Any]]:
    """Return the curves of a chart by their names, from the arguments of Plotly.newPlot."""
    _, _, arguments = chart.html.partition("Plotly.newPlot(")
    data, _ = json.JSONDecoder().raw_decode(arguments, arguments.index("["))
    return {curve["name"]: curve for curve in data}


def test_directions_share_a_chart_in_different_colours() -> None:
    found = by_title(validation_charts(rows(2, val__psnr_ab=1, val__psnr_ba=2, val__psnr=1.5, val__psnr_copied_ba=3)))
    assert list(found) == ["PSNR, dB"]
    drawn = curves(found["PSNR, dB"])
    assert (drawn["A→B"]["x"], drawn["A→B"]["y"]) == ([10, 20], [1.0, 2.0])
    assert drawn["A→B"]["customdata"] == [0.5, 1.0]
    assert list(drawn) == ["A→B", "B→A", "mean", "copied B→A"]
    assert len({curve["line"]["color"] for curve in drawn.values()}) == 3
    assert drawn["copied B→A"]["line"] == {"color": drawn["B→A"]["line"]["color"], "dash": "dash"}


def test_the_spread_becomes_error_bars() -> None:
    chart = by_title(validation_charts(rows(2, val__kid_ab=0.1, val__kid_spread_ab=0.01, val__kid_copied_ab=0.3)))[
        "KID"
    ]
    drawn = curves(chart)
    assert list(drawn) == ["A→B", "copied A→B"]
    assert drawn["A→B"]["error_y"]["array"] == [0.01, 0.02]
    assert "error_y" not in drawn["copied A→B"]


def test_metrics_are_grouped_as_in_the_catalogue() -> None:
    found = validation_charts(rows(2, val__variety_ab=1, val__mine_ab=1, val__cycle_a=1, val__fid_ab=1, val__psnr_ab=1))
    assert [group.title for group in found] == [
        "Paired ground truth",
        "Distance to the target domain",
        "Preservation of the input",
        "Diagnostics",
        "Others",
    ]
    hints = {title: chart.hint for title, chart in by_title(found).items()}
    assert (hints["PSNR, dB"], hints["FID"], hints["mine"]) == ("higher is better", "lower is better", "")


def test_each_term_of_the_loss_has_a_chart_and_the_learning_rates_share_the_last() -> None:
    metrics = {"lr__generators": 1.0, "lr__discriminators": 1.0, "train__adv_ab": 1.0, "train__penalty_a": 1.0}
    (charts,) = training_charts(rows(2, **metrics)).values()
    assert [chart.title for chart in charts] == ["Adversarial", "Penalty", "Learning rate"]
    assert list(curves(charts[-1])) == ["generators", "discriminators"]


def test_a_term_without_domains_is_not_called_a_mean() -> None:
    (charts,) = training_charts(rows(2, train__nce=1.0, train__nce_identity=2.0)).values()
    assert [chart.title for chart in charts] == ["PatchNCE"]
    assert list(curves(charts[0])) == ["nce", "identity"]


def test_a_long_curve_is_thinned() -> None:
    (charts,) = training_charts(rows(2 * MAX_POINTS, train__adv_ab=1.0)).values()
    assert curves(charts[0])["A→B"]["x"][:3] == [10, 30, 50]
