"""(a) Trainings per minute on the digits, against a plain loop and against per-image transforms."""

from __future__ import annotations

from benchmarks.common import Trainer, chunks, interleaved, medians, options, ratios, runs, save
from benchmarks.plain import Plain

EPOCHS = {"mlp": 60, "cnn_small": 50}  # of one training, for the runs per minute


def main() -> None:
    """Measures and writes."""
    given = options(
        "Trainings per minute on the digits: M at once, against one at a time",
        rounds=5,
        models="mlp,cnn_small",
        lanes=4,
    )
    device = given.device
    widths = (1, 8, 16, 32) if device.type == "cpu" else (1, 8, 32, 128)
    tables = {}
    for model in given.models.split(","):
        trainers = {f"engine, M = {m}": Trainer([runs(m, model=model)], device) for m in widths}
        if device.type == "cuda":
            many = runs(widths[-1] * given.lanes, model=model)
            name = f"engine, {given.lanes} cohorts of {widths[-1]}"
            trainers[name] = Trainer(chunks(many, given.lanes), device)
        (one,) = runs(1, model=model)
        official, plain = (Plain(one, device, official=style) for style in (True, False))
        cases = {"official style (PIL per image)": official.epoch, "plain loop (DataLoader)": plain.epoch}
        cases |= {name: trainer.epochs for name, trainer in trainers.items()}
        rates = interleaved(cases, given.rounds, device)
        against_plain, against_official = (ratios(rates, base) for base in list(cases)[1::-1])
        tables[f"{model} on the digits, {'one core' if device.type == 'cpu' else 'GPU'}"] = [
            {
                "how": name,
                "ms per run and epoch": 1000 / rate,
                "runs per minute": 60 * rate / EPOCHS[model],
                "x plain": against_plain[name],
                "x official": against_official[name],
            }
            for name, rate in medians(rates).items()
        ]
    save("throughput", given, tables, epochs=EPOCHS)


if __name__ == "__main__":
    main()
