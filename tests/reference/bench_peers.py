"""Times comet-edge beside stock tract and ONNX Runtime, on the same files, in turns, in one run.

Contenders, for each pair of files (int8 and float) and each number of threads:

    comet-edge int8     the int8 file on the kernels that comet-edge chooses
    comet-edge float    the float file (tract)
    tract int8          the int8 file with COMET_EDGE_KERNEL=tract: stock tract
    ONNX Runtime int8   the int8 file: CPU provider, sequential, all graph optimizations
    ONNX Runtime float  the float file, likewise
    predictor alone     `bench --predictor` on the int8 file: the network without its explanation

Compared is the network alone, from a ready float tensor [1,3,H,W] to float outputs: stages.inference of
`comet-edge bench` against `session.run`. Decoding, preprocessing and what is made of the map are not in it; the share
of the last two is printed beside it. comet-edge is given a drawn image, which it decodes and prepares anew before
every run; ONNX Runtime is given random numbers and runs back to back.

A round takes one block of each contender, in a process of its own: 10 runs to warm up, then --iterations timed runs.
Every other round goes backwards. Printed are the median of the blocks' medians, the largest p95 of a block, and n,
all timed runs. `comet-edge bench` has a p95 of the whole frame only (preprocess, inference, postprocess), so that is
what stands for it; that of ONNX Runtime is of `session.run`. Ratios are of these medians, with the smallest and the
largest ratio within one round.

Measured, too: every integer kernel of this processor, forced (int8, 1 thread, the first --forced-rounds rounds); the
time from starting `comet-edge predict` on one image to its end, with the files in the page cache; peak resident
memory of whole processes (that of ONNX Runtime has Python and NumPy in it); the size of the program.
Not measured: accuracy, energy, temperature, cameras, the start of ONNX Runtime.

Wants an idle machine; the load before the run is printed. Needs Linux, numpy and onnxruntime.
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import re
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

from peers import MAIN, ORT, ORT_FLOAT, OURS, OURS_FLOAT, PREDICTOR, STOCK, VARIABLE
from peers import Contender, Pair, Ratio, Series, kernels, measure, must

COLD_STARTS = 5
OTHERS = [ORT, ORT_FLOAT, OURS_FLOAT, STOCK]
IMAGES = Path(__file__).resolve().parents[2] / "calib" / "plants" / "images"

Board = dict[tuple[str, int, Contender], Series]  # by name of the pair and threads


def line_up(args: argparse.Namespace) -> list[Series]:
    contenders = list(MAIN)
    if "--predictor" in must([args.binary, "bench", "--help"]).stdout:
        contenders.append(PREDICTOR)
    else:
        say("the cost of the explanation is left out: this comet-edge has no `bench --predictor`")
    series = [Series(pair, threads, contender, args.rounds)
              for pair in args.pair for threads in args.threads for contender in contenders]
    names = kernels(args.binary, args.pair[0].int8) if args.forced_rounds > 0 else []
    if args.forced_rounds > 0 and not names:
        say(f"no kernels are forced: {VARIABLE}=nonsense gave no list of them")
    return series + [Series(pair, 1, Contender.forced(name), args.forced_rounds)
                     for pair in args.pair for name in names]


def play(args: argparse.Namespace) -> Board:
    """All rounds."""
    series = line_up(args)
    for number in range(args.rounds):
        turn = [one for one in series if number < one.rounds]
        for one in turn[:: 1 if number % 2 == 0 else -1]:
            measure(args.binary, one, args.iterations)
            say(f"round {number + 1} of {args.rounds}: {one.pair.name}, threads {one.threads}, {one.contender.name}: "
                f"{one.stages('inference')[-1]:.2f} ms")
    return {(one.pair.name, one.threads, one.contender): one for one in series}


def cold_starts(args: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds from starting `predict` to its end, by pair and file."""
    files = {f"{pair.name} {file}": path for pair in args.pair for file, path in pair.files.items()}
    taken: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(COLD_STARTS):
        for name, model in files.items():
            ended = must([args.binary, "predict", "--model", str(model), str(args.image)])
            taken[name].append(1000 * ended.seconds)
    return taken


def collect(args: argparse.Namespace, load: float, board: Board) -> dict:
    """Where, when and how: what every figure has to carry."""
    first, threads = args.pair[0].name, args.threads[0]
    names = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "date": datetime.date.today().isoformat(),
        "machine": names.group(1) if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": load,
        "versions": [must([args.binary, "--version"]).stdout.strip(), board[first, threads, ORT].reports[0]["engine"],
                     f"Python {platform.python_version()}"],
        "kernels": sorted({report["kernel"] for (_, _, contender), one in board.items() if contender == OURS
                           for report in one.reports}),
        "binary_bytes": os.stat(args.binary).st_size,
        "command": f"bench_peers.py --rounds {args.rounds} --iterations {args.iterations} "
                   f"--threads {' '.join(map(str, args.threads))}",
    }


def table(header: list[str], rows: list[list[str]], markdown: bool) -> str:
    if markdown:
        return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *rows])
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    lines = [[cell.ljust(width) for cell, width in zip(line, widths)] for line in [header, *rows]]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def heading(facts: dict) -> str:
    return (f"{facts['date']}, {facts['machine']}, {facts['cores']} cores, load {facts['load']:.2f} before; "
            f"{', '.join(facts['versions'])}; `{facts['command']}`. The program has "
            f"{facts['binary_bytes'] / 1e6:.1f} MB; kernels of comet-edge int8: {', '.join(facts['kernels'])}.")


def times(board: Board, cells: list[tuple[str, int]], markdown: bool) -> str:
    def cell(one: Series) -> str:
        return f"{one.median_ms:.2f} ({one.p95_ms:.2f})"

    rows = [[pair, str(threads), *(cell(board[pair, threads, contender]) for contender in MAIN)]
            for pair, threads in cells]
    (pair, threads), *_ = cells
    title = (f"Network alone in ms, median (p95; of comet-edge and tract that of the whole frame), "
             f"n = {board[pair, threads, OURS].n} each:")
    return f"{title}\n\n{table(['model', 'threads', *(contender.name for contender in MAIN)], rows, markdown)}"


def ratios(board: Board, cells: list[tuple[str, int]], markdown: bool) -> str:
    rows = [[pair, str(threads), *(str(Ratio.of(board[pair, threads, OURS], board[pair, threads, other]))
                                   for other in OTHERS)] for pair, threads in cells]
    title = "Time of comet-edge int8 / time of the other (extremes within a round); below 1, comet-edge int8 is faster:"
    return f"{title}\n\n{table(['model', 'threads', *(other.name for other in OTHERS)], rows, markdown)}"


def around(board: Board, cells: list[tuple[str, int]], markdown: bool) -> str:
    rows = []
    for pair, threads in cells:
        ours, predictor = board[pair, threads, OURS], board.get((pair, threads, PREDICTOR))
        outside = statistics.median(ours.stages("preprocess")) + statistics.median(ours.stages("postprocess"))
        cost = f"{Ratio.of(ours, predictor)} x {predictor.median_ms:.2f} ms" if predictor else "not measured"
        peaks = [f"{board[pair, threads, contender].peak_mib:.0f}" for contender in (OURS, OURS_FLOAT, ORT)]
        rows.append([pair, str(threads), f"{100 * outside / ours.median_ms:.1f} %", cost, *peaks])
    header = ["model", "threads", "pre- and postprocess / inference", "selector + predictor / predictor alone",
              "peak MiB int8", "peak MiB float", "peak MiB ONNX Runtime int8 in Python"]
    return f"Around the network, int8 where nothing else is said:\n\n{table(header, rows, markdown)}"


def forced(board: Board, markdown: bool) -> str:
    """Each kernel beside the fastest one; nothing if none was forced."""
    rows = []
    for name in dict.fromkeys(pair for pair, _, _ in board):
        found = [one for (pair, _, contender), one in board.items()
                 if pair == name and contender == Contender.forced(contender.kernel)]
        best = min(found, key=lambda one: one.median_ms, default=None)
        rows += [[name, one.contender.kernel, f"{one.median_ms:.2f}", str(one.n), str(Ratio.of(one, best))]
                 for one in found]
    header = ["model", "kernel", "median ms", "n", "/ best"]
    return f"Kernels forced, network alone, int8, 1 thread:\n\n{table(header, rows, markdown)}" if rows else ""


def starts(taken: dict[str, list[float]]) -> str:
    each = ", ".join(f"{name} {statistics.median(values):.0f} ms" for name, values in taken.items())
    return f"From starting `comet-edge predict` on one image to its end (median, n = {COLD_STARTS} each): {each}."


def report(args: argparse.Namespace, facts: dict, board: Board, taken: dict[str, list[float]]) -> str:
    cells = [(pair.name, threads) for pair in args.pair for threads in args.threads]
    parts = [heading(facts), times(board, cells, args.markdown), ratios(board, cells, args.markdown),
             around(board, cells, args.markdown), forced(board, args.markdown), starts(taken)]
    return "\n\n".join(filter(None, parts))


def everything(facts: dict, board: Board, taken: dict[str, list[float]]) -> dict:
    """All numbers, for --json."""
    compared = [{"pair": pair, "threads": threads, "other": other.name,
                 **asdict(Ratio.of(one, board[pair, threads, other]))}
                for (pair, threads, contender), one in board.items() if contender == OURS
                for other in [*OTHERS, PREDICTOR] if (pair, threads, other) in board]
    series = [{"pair": pair, "threads": threads, "contender": contender.name, "median_ms": one.median_ms,
               "p95_ms": one.p95_ms, "n": one.n, "peaks_mib": one.peaks_mib, "blocks": one.reports}
              for (pair, threads, contender), one in board.items()]
    return {**facts, "ratios": compared, "cold_start_ms": taken, "series": series}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def pair_of_files(text: str) -> Pair:
    name, _, files = text.partition("=")
    int8, _, float_file = files.partition(",")
    pair = Pair(name, Path(int8), Path(float_file))
    if not name or not all(path.is_file() for path in pair.files.values()):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=INT8.onnx,F32.onnx with two files that exist")
    return pair


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description="Time comet-edge beside stock tract and ONNX Runtime, in turns.")
    p.add_argument("--binary", default="target/release/comet-edge", metavar="BIN", help="comet-edge [%(default)s]")
    p.add_argument("--pair", type=pair_of_files, action="append", required=True, metavar="NAME=INT8,F32",
                   help="a model as int8 and as float file; may be repeated")
    p.add_argument("--rounds", type=positive, default=5, help="blocks of each contender [%(default)s]")
    p.add_argument("--iterations", type=positive, default=20, help="timed runs of a block [%(default)s]")
    p.add_argument("--threads", type=positive, nargs="+", default=[1, 2], help="[1 2]")
    p.add_argument("--forced-rounds", type=int, default=2, help="rounds with every kernel, 0 for none [%(default)s]")
    p.add_argument("--image", type=Path, default=min(IMAGES.rglob("*.png"), default=None),
                   help="for the cold start [one of calib/plants]")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every number to this file")
    p.add_argument("--markdown", action="store_true", help="print tables for a README")
    args = p.parse_args()
    if len({pair.name for pair in args.pair}) < len(args.pair):
        p.error("two pairs have the same name")
    if args.image is None:
        p.error("there is no image in calib/plants: give one with --image")
    missing = [name for name in ("numpy", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        p.error(f"not installed: {', '.join(missing)} (pip install numpy onnxruntime)")
    return args


def main() -> None:
    args = arguments()
    load = os.getloadavg()[0]
    board = play(args)
    taken = cold_starts(args)
    facts = collect(args, load, board)
    if args.json:
        args.json.write_text(json.dumps(everything(facts, board, taken), indent=1) + "\n")
    print(report(args, facts, board, taken))


if __name__ == "__main__":
    main()
