"""Writes tests/golden/metrics.json: small maps and masks, and what every measure gives on them.

Maps are integers k, standing for k/255; masks are 0 and 1. No k sits exactly on a threshold, apart from
0 (threshold 0) and 255, so the results do not depend on how a threshold is rounded. The measures are
computed twice: by metrics.py, and here by plain counting in integers and fractions.
"""

import argparse
import json
from fractions import Fraction
from pathlib import Path

import numpy as np

import metrics

COUNT, SIZE = 6, 16
CONVENTIONS = [line for line in metrics.__doc__.split("\n\n", 1)[1].splitlines() if line.strip()]


def make(rng):
    """Six maps and masks: from a good map to an empty one, one mask empty, one map saturated."""
    row, column = np.mgrid[0:SIZE, 0:SIZE]
    maps, masks = [], []
    for i in range(COUNT):
        y, x = rng.uniform(5, 11, 2)
        radius = rng.uniform(3, 6)
        distance = np.hypot(row - y, column - x)
        mask = distance < radius
        value = 1 / (1 + np.exp((distance - radius * rng.uniform(0.8, 1.2)) * rng.uniform(0.6, 2.5)))
        value = np.clip(value + rng.normal(0, 0.12, value.shape), 0, 1)
        maps.append(np.rint(255 * value).astype(int))
        masks.append(mask.astype(int))
    maps[1][:] = 0                    # predicts nothing
    masks[3][:] = 0                   # nothing to find
    maps[4] = np.where(masks[4] == 1, 255, 0)  # sharp and right, ...
    maps[4][:, :8] = np.where(masks[4][:, :8] == 1, 77, 0)  # ... but for a half that is too dark
    maps[5] = rng.integers(0, 256, (SIZE, SIZE))  # unrelated
    for m in maps:  # k/255 is a multiple of 1/1000 only for multiples of 51
        m[(m % 51 == 0) & (m > 0) & (m < 255)] += 1
    return np.array(maps), np.array(masks)


def pxap_by_counting(maps, masks, steps):
    """PxAP at thresholds i/denominator, exactly; `steps` = (list of i, denominator)."""
    indices, denominator = steps
    area, before, positives = Fraction(0), Fraction(0), int(masks.sum())
    for i in sorted(indices, reverse=True):
        predicted = maps * denominator >= 255 * i
        tp = int((predicted & (masks == 1)).sum())
        precision = Fraction(tp, int(predicted.sum())) if predicted.any() else Fraction(1)
        recall = Fraction(tp, positives)
        area += precision * (recall - before)
        before = recall
    return 100 * area


def ious_by_counting(maps, masks, numerator, denominator):
    result = []
    for m, t in zip(maps, masks):
        if t.any():
            predicted = m * denominator >= 255 * numerator
            result.append(Fraction(int((predicted & (t == 1)).sum()), int((predicted | (t == 1)).sum())))
    return result


def auc_by_counting(values):
    share = [Fraction(sum(v >= Fraction(j, 100) for v in values), len(values)) for j in range(101)]
    return 100 * sum((a + b) / 2 * Fraction(1, 100) for a, b in zip(share, share[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = Path(__file__).resolve().parent.parent / "golden" / "metrics.json"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    maps, masks = make(np.random.default_rng(args.seed))
    real, truth = maps / 255.0, masks.astype(bool)
    at_50, at_90 = ious_by_counting(maps, masks, 1, 2), ious_by_counting(maps, masks, 9, 10)
    for value in at_90:
        assert value in (0, 1) or (100 * value).denominator != 1, "an IoU sits on a threshold"
    exact = {
        "pxap19": pxap_by_counting(maps, masks, (range(1, 20), 20)),
        "pxap1000": pxap_by_counting(maps, masks, (range(1000), 1000)),
        "iou50": 100 * sum(at_50) / len(at_50),
        "auc_iou90": auc_by_counting(at_90),
    }
    plain = {
        "pxap19": metrics.pxap(real, truth),
        "pxap1000": metrics.pxap(real, truth, metrics.THRESHOLDS_1000),
        "iou50": metrics.mean_iou(real, truth, 0.5),
        "auc_iou90": metrics.auc_iou(real, truth, 0.9),
    }
    for name, value in exact.items():
        assert abs(float(value) - plain[name]) < 1e-9, (name, float(value), plain[name])

    pairs = [{"a": a, "b": b, **metrics.agreement(real[a], real[b])} for a, b in ((0, 2), (0, 5), (0, 0))]
    # Map 1 is constant, so it has no correlation with anything: null.
    pairs.append({"a": 0, "b": 1, **metrics.agreement(real[0], real[1]), "pearson": None})
    document = {
        "about": "Measures of attribution maps on small examples; made by tests/reference/make_metric_golden.py",
        "conventions": CONVENTIONS,
        "scale": 255, "size": SIZE,
        "maps": maps.reshape(COUNT, -1).tolist(), "masks": masks.reshape(COUNT, -1).tolist(),
        "expected": {**{name: float(value) for name, value in exact.items()},
                     "iou50_per_image": [float(v) for v in at_50],
                     "iou90_per_image": [float(v) for v in at_90],
                     "images_with_a_mask": [i for i in range(COUNT) if truth[i].any()]},
        "agreement": pairs,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    print(args.out.name, args.out.stat().st_size, "bytes")
    print(json.dumps(document["expected"]), json.dumps(pairs), sep="\n")


if __name__ == "__main__":
    main()
