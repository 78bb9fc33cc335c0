import pytest


def patch_process_map(monkeypatch: pytest.MonkeyPatch, crashing: str = "nothing") -> None:
    """Let `check` and `prepare` work in the test's process, where items whose text has `crashing` in it "crash"."""
    for module in ("scan", "resize"):
        monkeypatch.setattr(
            f"cyclegan.inspection.{module}.process_map",
            lambda work, items, workers, on_crash: (
                on_crash(item) if crashing in str(item) else work(item) for item in items
            ),
        )


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_process_map(monkeypatch)
