"""The page of a sweep in a real browser, opened from disk."""

import re
from pathlib import Path

import pytest

from cyclegan.sweep.summary import write_summary
from tests.report.test_browser import CHROMIUM, document_of
from tests.sweep.sweep_folders import add_job, write_sweep
from tests.sweep.test_summary import EVIL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)"),
]

ACTIONS = """
<script>
document.querySelectorAll("#jobs thead th")[4].click(); // objective
const select = document.querySelector("#effects select");
select.selectedIndex = 1;
select.dispatchEvent(new Event("change"));
</script>
"""


def test_the_browser_sorts_jobs_draws_the_chosen_metric_and_runs_no_injected_code(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep")
    for name, b, c, kid in (("one", "1", EVIL, 0.25), ("two", "2", "x", 0.125), ("three", "10", "x", 0.5)):
        add_job(sweep, {"b": b, f"c{EVIL}": c}, kid, name=f"{name}{EVIL}")
    add_job(sweep, {"b": "3", f"c{EVIL}": "y"}, 0.1, "failed", name="failed")
    (sweep / "failed" / "metrics.csv").unlink()
    page = write_summary(sweep)
    page.write_text(page.read_text().replace("</body>", f"{ACTIONS}</body>"))
    document = document_of(page, tmp_path / "profile")
    assert "<title>sweep</title>" in document
    body = document[document.index("<tbody>") : document.index("</tbody>")]
    assert re.findall(r"(one|two|three|failed)(?:&lt;|</a>)", body) == ["two", "one", "three", "failed"]
    chosen = document[document.index('<div id="chosen">') : document.index("<template>")]
    assert re.findall(r'<path class="point"', chosen) == ['<path class="point"'] * (3 + 3 + 2)  # two means of c
    assert "19.87" in chosen  # PSNR in a cell of the heat map
    assert ">&lt;img src=x" in chosen  # a label of an axis
