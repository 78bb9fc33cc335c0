import pytest


def patch_process_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `check` and `prepare` work in the process of the test, which needs no time to start."""
    for module in ("scan", "resize"):
        monkeypatch.setattr(
            f"cyclegan.inspection.{module}.process_map",
            lambda work, items, workers, on_crash: (work(item) for item in items),
        )


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_process_map(monkeypatch)
