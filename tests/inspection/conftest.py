from collections.abc import Callable

import pytest


def patch_process_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `check` and `prepare` work in the test's process."""

    def apply(work: Callable[[str], object], paths: list[str], workers: int) -> list[object]:
        return [work(path) for path in paths]

    for module in ("scan", "resize"):
        monkeypatch.setattr(f"cyclegan.inspection.{module}.process_map", apply)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_process_map(monkeypatch)
