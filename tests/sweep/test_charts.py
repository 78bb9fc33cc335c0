"""Charts of a sweep: the data passed to plotly."""

import json
from statistics import mean, stdev
from typing import Any

import pytest

from cyclegan.report.charts import Chart
from cyclegan.sweep.charts import Point, Scale, importance_chart, joint_chart, key_charts


def drawn(chart: Chart) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the traces and the layout of a chart, from the arguments of Plotly.newPlot."""
    _, _, arguments = chart.html.partition("Plotly.newPlot(")
    start = arguments.index("[")
    traces, end = json.JSONDecoder().raw_decode(arguments, start)
    layout, _ = json.JSONDecoder().raw_decode(arguments, arguments.index("{", end))
    return traces, layout


def points(*rows: tuple[str, str, float]) -> list[Point]:
    """Make jobs with values of the keys x and y, and a metric."""
    return [Point(f"job {index}", {"x": x, "y": y}, metric) for index, (x, y, metric) in enumerate(rows)]


def test_a_key_has_a_dot_for_each_job_and_the_mean_and_standard_deviation_of_each_value() -> None:
    (chart,) = key_charts(["x"], points(("10", "a", 3.0), ("2", "b", 1.0), ("10", "b", 4.0), ("10", "c", 8.0)))
    (dots, means), layout = drawn(chart)
    assert (dots["x"], dots["y"]) == ([10, 2, 10, 10], [3, 1, 4, 8])
    assert (means["x"], means["y"]) == ([2, 10], [1, mean([3, 4, 8])])
    assert means["error_y"]["array"] == [0, stdev([3, 4, 8])]
    assert means["text"] == ["1, 1 job", "5 ± 3, 3 jobs"]
    assert (layout["xaxis"]["tickvals"], layout["xaxis"]["ticktext"]) == ([2, 10], ["2", "10"])


def test_values_that_are_all_different_have_no_means() -> None:
    (chart,) = key_charts(["x"], points(("1", "a", 3.0), ("2", "b", 1.0)))
    assert len(drawn(chart)[0]) == 1


@pytest.mark.parametrize(
    ("values", "kind", "places"),
    [
        (["5", "0", "0.1"], "linear", {"0": 0.0, "0.1": 0.1, "5": 5.0}),
        (["1e-3", "1e-5", "0.0002"], "log", {"1e-5": 1e-5, "0.0002": 2e-4, "1e-3": 1e-3}),
        (["-1", "100"], "linear", {"-1": -1.0, "100": 100.0}),
        (["unet256", "unet64", "null"], "words", {"null": 0.0, "unet64": 1.0, "unet256": 2.0}),
        (["7"], "linear", {"7": 7.0}),
    ],
)
def test_numbers_are_on_a_numeric_axis_which_is_logarithmic_if_wide(
    values: list[str], kind: str, places: dict[str, float]
) -> None:
    scale = Scale(values)
    assert (scale.kind, list(scale.places.items())) == (kind, list(places.items()))


def test_labels_that_would_overlap_are_left_out() -> None:
    assert Scale(["0", "0.01", "0.5", "1"]).labels() == {"0": "0", "0.5": "0.5", "1": "1"}
    assert Scale(str(n / 7) for n in range(1, 20)).labels() == {str(1 / 7): "0.143", str(19 / 7): "2.71"}
    assert Scale(["a<b", "a much longer word than there is room"]).labels() == {
        "a<b": "a&lt;b",
        "a much longer word than there is room": "a much longer word …",
    }


def test_two_keys_are_a_heat_map_of_means() -> None:
    jobs = points(("1", "a", 1.0), ("1", "a", 3.0), ("2", "a", 4.0), ("2", "b", 5.0))
    ((heat,), _) = drawn(joint_chart(["x", "y"], jobs, "KID", higher=False))
    assert (heat["type"], heat["x"], heat["y"]) == ("heatmap", ["1", "2"], ["a", "b"])
    assert heat["z"] == [[2, 4], [None, 5]]
    assert heat["text"] == [["2 ± 1", "4"], ["", "5"]]
    assert heat["reversescale"] is True  # bright is good
    ((heat,), _) = drawn(joint_chart(["x", "y"], jobs, "PSNR", higher=True))
    assert heat["reversescale"] is False


def test_two_keys_of_which_few_combinations_ran_are_dots() -> None:
    jobs = points(*((f"0.{n}", f"1e-{n}", float(n)) for n in range(1, 5)))
    ((dots,), layout) = drawn(joint_chart(["x", "y"], jobs, "KID", higher=False))
    assert (dots["type"], dots["marker"]["color"]) == ("scatter", [1, 2, 3, 4])
    assert (dots["x"], dots["y"]) == ([0.1, 0.2, 0.3, 0.4], [0.1, 0.01, 0.001, 0.0001])
    assert (layout["xaxis"]["type"], layout["yaxis"]["type"]) == ("linear", "log")


@pytest.mark.parametrize(("higher", "best"), [(False, 0), (True, 2)])
def test_three_keys_are_parallel_lines_with_the_best_on_top(higher: bool, best: int) -> None:
    values = [{"b": "x", "a": "1", "c": "1e-4"}, {"b": "y", "a": "3", "c": "1e-3"}, {"b": "x", "a": "2", "c": "1e-2"}]
    jobs = [Point(f"job {index}", each, float(index)) for index, each in enumerate(values)]
    traces, layout = drawn(joint_chart(["a", "b", "c"], jobs, "KID", higher))
    lines = {trace["text"][0]: trace for trace in traces if trace["mode"] == "lines"}
    assert [line["y"] for _, line in sorted(lines.items())] == [
        [0, 0, 0, 0],
        [1, 1, pytest.approx(0.5), 0.5],
        [0.5, 0, 1, 1],
    ]
    assert list(lines)[-1] == f"{best} · job {best}"
    widths = [line["line"]["width"] for line in lines.values()]
    assert widths == sorted(widths)
    assert layout["xaxis"]["ticktext"] == ["a", "b", "c", "KID"]


def test_importances_are_bars_with_the_largest_on_top() -> None:
    ((bars,), _) = drawn(importance_chart({"lr": 0.7, "seed": 0.1, "b": 0.2}))
    assert (bars["y"], bars["x"]) == (["seed", "b", "lr"], [0.1, 0.2, 0.7])  # plotly draws from below
