"""The report in a real browser, opened from disk."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cyclegan.report.page import write_report
from tests.report.run_folders import write_evil_run

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")


def document_of(page: Path, profile: Path) -> str:
    """Return the page's document as HTML after its scripts have run."""
    arguments = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    arguments += [f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_browser_draws_curves_and_samples_and_runs_no_injected_code(tmp_path: Path) -> None:
    document = document_of(write_report(write_evil_run(tmp_path)), tmp_path / "profile")
    assert "<title>&lt;b&gt;run &amp; 'co'</title>" in document
    # PSNR 2, KID 1, variety 1, adversarial 2, learning rate 1; lines of the legend begin with M5,0
    assert len(re.findall('class="js-line" d="M(?!5,0)[^"]*L', document)) == 7
    assert len(re.findall('class="yerror"', document)) == 5
    assert re.findall(r'<img data-epoch="(\d+)"(?! hidden)', document) == ["4"]
