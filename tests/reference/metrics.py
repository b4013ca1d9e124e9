"""The measures of an attribution map, in plain numpy.

Conventions (the Rust code is held to the same):
* A pixel is predicted at threshold t when its value is >= t.
* PxAP pools all pixels of all images; an image with an empty true mask only adds negatives.
  precision = TP/(TP+FP), 1 where nothing is predicted; recall = TP/positives. Going from the highest
  threshold to the lowest, area = sum of precision[i] * (recall[i] - recall[i-1]), where the recall
  before the highest threshold is 0. Reported times 100.
* IoU of two empty masks is 1. The IoU measures leave out images whose TRUE mask is empty.
* AUC-IoU: the proportion of images with IoU >= th for th = 0, 0.01 .. 1, trapezoid rule, times 100.
  Every IoU is >= 0, so the value never falls under 0.5 (one half step of 0.01).
"""

import numpy as np

THRESHOLDS_19 = np.arange(1, 20) / 20.0
THRESHOLDS_1000 = np.arange(1000) / 1000.0


def pxap(maps, masks, thresholds=THRESHOLDS_19):
    """maps: floats in [0,1], masks: bools, both [N,H,W]. NaN where no pixel is positive."""
    values = np.asarray(maps, dtype=np.float64).ravel()
    truth = np.asarray(masks, dtype=bool).ravel()
    positive, negative = np.sort(values[truth]), np.sort(values[~truth])
    if positive.size == 0:
        return float("nan")
    high_to_low = np.sort(np.asarray(thresholds, dtype=np.float64))[::-1]
    # How many sorted values are >= t: all of them less those before t's left insertion point.
    tp = positive.size - np.searchsorted(positive, high_to_low, side="left")
    fp = negative.size - np.searchsorted(negative, high_to_low, side="left")
    predicted = tp + fp
    precision = np.where(predicted > 0, tp / np.maximum(predicted, 1), 1.0)
    recall = tp / positive.size
    return float(100.0 * np.sum(precision * np.diff(recall, prepend=0.0)))


def iou(a, b):
    """IoU of two boolean masks; 1 when both are empty."""
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0


def ious(maps, masks, threshold):
    """Per-image IoU at a threshold, images with an empty true mask left out."""
    return np.array([iou(m >= threshold, t) for m, t in zip(maps, masks) if t.any()])


def mean_iou(maps, masks, threshold=0.5):
    """Mean per-image IoU, in percent."""
    values = ious(maps, masks, threshold)
    return float(100.0 * values.mean()) if values.size else float("nan")


def auc_iou(maps, masks, threshold=0.9):
    values = ious(maps, masks, threshold)
    if not values.size:
        return float("nan")
    proportion = np.array([(values >= j / 100.0).mean() for j in range(101)])
    return float(100.0 * np.sum((proportion[1:] + proportion[:-1]) / 2.0) * 0.01)


def agreement(a, b):
    """How close two maps are: mean absolute difference, IoU at 0.5, Pearson's r over the pixels."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    da, db = (a - a.mean()).ravel(), (b - b.mean()).ravel()
    norm = np.sqrt((da @ da) * (db @ db))
    return {
        "mae": float(np.abs(a - b).mean()),
        "iou50": iou(a >= 0.5, b >= 0.5),
        "pearson": float(da @ db / norm) if norm > 0 else float("nan"),
    }
