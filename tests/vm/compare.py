#!/usr/bin/env python3
"""Compares a board's predictions with this machine's predictions for the same frames.

    compare.py COUNT BOARD HOST

BOARD and HOST are folders with predictions.jsonl (of `comet-edge run --dump-input`) and inputs.sha256. Both must have
COUNT predictions with a class and a map. Classes, scores and statistics of the maps are compared as they are printed;
the model's inputs are compared too, so that a difference of the network can be distinguished from one in preprocessing.
"""

import json
import sys
from pathlib import Path

COMPARED = ["class", "index", "probability", "scores", "mask"]


def frame(name):
    """The frame that an input belongs to: the board names it after the camera, the host after the frame's image."""
    return Path(name).name.removesuffix(".input.f32").removesuffix(".frame")


def predictions(folder, count):
    """The predictions by frame, with numbers as they are printed."""
    lines = Path(folder, "predictions.jsonl").read_text().splitlines()
    records = [json.loads(line, parse_float=str, parse_int=str) for line in lines]
    if len(records) != count:
        sys.exit(f"{folder}: {len(records)} predictions instead of {count}")
    for record in records:
        if not record.get("class") or not all(key in record.get("mask", {}) for key in ("mean", "area", "entropy")):
            sys.exit(f"{folder}: a prediction without class or map: {record}")
    return {frame(record["input_file"]): record for record in records}


def inputs(folder):
    """The check sums of the model's inputs by frame."""
    lines = Path(folder, "inputs.sha256").read_text().splitlines()
    return {frame(name): digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def numbers(value):
    """All numbers in a value, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    try:
        return [float(value)]
    except (TypeError, ValueError):
        return []


def largest_difference(left, right):
    """Between the numbers of two values."""
    return max((abs(a - b) for a, b in zip(numbers(left), numbers(right))), default=0.0)


def main():
    """Prints every kind of difference; exit code 1 if there is one."""
    count, board_folder, host_folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    board, host = predictions(board_folder, count), predictions(host_folder, count)
    if board.keys() != host.keys():
        sys.exit(f"different frames were predicted: {sorted(board.keys() ^ host.keys())}")
    board_inputs, host_inputs = inputs(board_folder), inputs(host_folder)
    other_inputs = [name for name in sorted(board) if board_inputs.get(name) != host_inputs.get(name)]
    failed = bool(other_inputs)
    if other_inputs:
        print(f"  inputs: {len(other_inputs)} of {count} differ, first {other_inputs[0]}: the cause is preprocessing")
    for field in COMPARED:
        other = [name for name in sorted(board) if board[name][field] != host[name][field]]
        if not other:
            continue
        failed = True
        apart = max(largest_difference(board[name][field], host[name][field]) for name in other)
        same_input = sum(name not in other_inputs for name in other)
        print(f"  {field}: {len(other)} of {count} differ by at most {apart:.3g}, {same_input} with equal inputs")
        print(f"    {other[0]}: board {board[other[0]][field]}, here {host[other[0]][field]}")
    if failed:
        sys.exit(1)
    classes = sorted({record["class"] for record in board.values()})
    print(f"  {count} frames: inputs, classes ({', '.join(classes)}), scores and maps are the same, digit for digit")


if __name__ == "__main__":
    main()
