"""The report in a real browser, opened from disk."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cyclegan.report.page import write_report
from tests.report.run_folders import write_evil_run, write_run

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH (apt-get install chromium)")


def document_of(page: Path, profile: Path) -> str:
    """Return the page's document as HTML after its scripts have run."""
    arguments = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    arguments += [f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_curves_are_drawn_and_the_latest_samples_shown(tmp_path: Path) -> None:
    document = document_of(write_report(write_run(tmp_path / "toy")), tmp_path / "profile")
    # PSNR 2, KID 1, variety 1, adversarial 2, learning rate 1; a legend's lines begin with M5,0
    assert len(re.findall('class="js-line" d="M(?!5,0)', document)) == 7
    assert len(re.findall('class="yerror"', document)) == 5
    shown = re.findall(r'<img data-epoch="(\d+)"(?! hidden)', document)
    assert shown == ["4"]


def test_names_and_texts_that_look_like_code_do_not_run(tmp_path: Path) -> None:
    document = document_of(write_report(write_evil_run(tmp_path)), tmp_path / "profile")
    assert "<title>&lt;b&gt;run &amp; 'co'</title>" in document
    assert 'class="point' in document  # the charts are drawn all the same
