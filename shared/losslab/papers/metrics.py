"""What the recorded numbers are called, in which unit the report shows them, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Metric:
    """``factor`` takes the recorded number to ``unit``."""

    name: str
    label: str
    unit: str = ""
    factor: float = 1.0
    higher_is_better: bool = True

    @property
    def axis(self) -> str:
        """Axis label with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


def _share(name: str, label: str, higher_is_better: bool = True) -> Metric:
    return Metric(name, label, "%", 100.0, higher_is_better)


_KNOWN = {
    metric.name: metric
    for metric in (
        _share("test_acc", "Test accuracy"),
        Metric("test_loss", "Test cross-entropy", "nats", higher_is_better=False),
        _share("test_acc_per_class", "Test accuracy per class"),
        _share("val_acc", "Validation accuracy, noisy labels"),
        Metric("val_loss", "Validation loss", higher_is_better=False),
        _share("val_clean_acc", "Validation accuracy, clean labels"),
        Metric("train_loss", "Training loss", higher_is_better=False),
        _share("train_acc", "Training accuracy, given labels"),
        _share("fit_clean", "Correct labels fitted"),
        _share("fit_noisy", "Wrong labels memorised", higher_is_better=False),
        _share("true_noisy", "Wrongly labelled samples corrected"),
        Metric("prob_clean", "Mean softmax of correct labels"),
        Metric("prob_noisy", "Mean softmax of wrong labels", higher_is_better=False),
        Metric("class_margin", "Class margin", "degrees"),
        Metric("sample_margin", "Sample margin"),
    )
}
SUFFIXES = ("min", "max", "mean", "std", "spread")


def describe(metric: str) -> Metric:
    """Metric by name: a curve, ``final.<name>``, or a per-class curve with a suffix. Unknown names keep their own name and unit 1."""
    base = metric.removeprefix("final.")
    stem, _, suffix = base.partition(".")
    known = _KNOWN.get(stem)
    if known is None:
        known = _share(stem, words(stem)) if stem.endswith(("_acc", "_accuracy")) else Metric(stem, words(stem))
    if suffix:
        text = f"{known.label}, class {suffix}" if suffix.isdigit() else f"{known.label}: {suffix}"
        better = known.higher_is_better and suffix not in ("std", "spread")
        known = replace(known, label=text, higher_is_better=better)
    return replace(known, name=metric)


def words(name: str) -> str:
    """`class_margin` as `Class margin`."""
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]
