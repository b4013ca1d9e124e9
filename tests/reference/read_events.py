"""Reads a run's TensorBoard event file with TensorBoard's own reader and compares it with metrics.jsonl.

Every scalar of the file must stand in the journal at the same epoch (as a 32-bit float), and every number of
the journal in the file; the step is the epoch, COMET's counted after the detector's.

    python read_events.py RUN
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = {
    "loss": "loss/total", "loss_predictor": "loss/predictor", "loss_detector": "loss/detector",
    "completeness": "loss/completeness", "area_penalty": "loss/area_penalty",
    "train_accuracy": "train/accuracy", "area": "train/area",
    "learning_rate": "learning_rate", "seconds": "seconds",
}


def expected(run):
    """{tag: {step: value}} of the journal."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    detector_epochs = max([r["epoch"] for r in records if r["phase"] == "detector"], default=0)
    values = {}
    for record in records:
        is_detector = record["phase"] == "detector"
        step = record["epoch"] + (0 if is_detector else detector_epochs)
        found = {tag: record[key] for key, tag in TAGS.items() if key in record}
        found |= {f"val/{key}": value for key, value in record.get("val", {}).items()}
        for tag, value in found.items():
            value = float("nan") if value is None else value
            values.setdefault(("detector/" if is_detector else "") + tag, {})[step] = np.float32(value)
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    files = list(run.glob("*tfevents*"))
    assert len(files) == 1, f"{len(files)} event files in {run}"
    reader = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    found = {tag: {} for tag in reader.Tags()["scalars"]}
    for tag, steps in found.items():
        for event in reader.Scalars(tag):
            assert event.step not in steps, f"{tag}: step {event.step} is there twice"
            steps[event.step] = np.float32(event.value)
    journal = expected(run)
    assert found.keys() == journal.keys(), sorted(found.keys() ^ journal.keys())
    for tag, steps in sorted(found.items()):
        assert steps.keys() == journal[tag].keys(), tag
        assert all(np.array_equal(steps[s], journal[tag][s], equal_nan=True) for s in steps), tag
        last = max(steps)
        print(f"{tag:28}{len(steps):5} points, the last at step {last}: {steps[last]:.6g}")
    print(f"{files[0].name}: as the journal", file=sys.stderr)


if __name__ == "__main__":
    main()
