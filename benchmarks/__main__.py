"""`python -m benchmarks`: time this library beside its peers and beside the limit, in one run."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import graphs, growth, memory, mlp
from benchmarks.harness import FRAMEWORKS, Result, machine, measure
from tinygrad_np._files import atomic_write

WORKLOADS = {workload.name: workload for workload in [*mlp.WORKLOADS, *graphs.WORKLOADS]}
RATIOS = [
    ("eager", "numpy"),
    ("eager-kept", "numpy-kept"),
    ("compiled", "jax.jit"),
    ("inexact", "jax.jit"),
    ("compiled", "limit"),
    ("inexact", "limit"),
]
EXTRA = ("memory", "growth")  # what is measured in other ways
TOP = 3  # of the plot
PAGE = Path(__file__).with_name("README.md")
HERE = "<!-- written by `python -m benchmarks --write` from here on -->"


def main() -> None:
    """Parse the command line, measure, and report."""
    options = _options()
    frameworks = [name for name in FRAMEWORKS if name in options.frameworks]
    results, peaks, grown = [], {}, ""
    if "growth" in options.workloads:
        print("growth: chains of operations, and captures", file=sys.stderr, flush=True)
        grown = growth.report()
    if "memory" in options.workloads:
        print(f"memory: tanh net of {memory.LAYERS} layers", file=sys.stderr, flush=True)
        peaks = {name: memory.peak_growth(name) for name in frameworks if name in memory.NETS}
    for name in options.workloads:
        if name not in EXTRA:
            print(f"{name}: {WORKLOADS[name].description}", file=sys.stderr, flush=True)
            results.append(measure(WORKLOADS[name], frameworks, options.rounds, options.seconds, times=options.times))
    report = "\n\n".join(filter(None, [_report(results, peaks, frameworks), grown]))
    print(report)
    if options.json:
        content = {"machine": machine(), "results": [asdict(result) for result in results], "memory": peaks}
        _write(options.json, json.dumps(content, indent=1))
    if options.plot:
        _plot(results, frameworks, options.plot)
    if options.write:
        head = PAGE.read_text(encoding="utf-8").partition(HERE)[0]
        _write(PAGE, f"{head}{HERE}\n\n{report}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [*WORKLOADS, *EXTRA]
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument(
        "--frameworks",
        nargs="+",
        choices=list(FRAMEWORKS),
        default=[name for name in FRAMEWORKS if name != "torch.compile"],
        help="default: all but torch.compile, which needs a C++ compiler and half a minute a workload",
    )
    parser.add_argument("--rounds", type=int, default=8, help="turns that each process gets (default: 8)")
    parser.add_argument("--times", type=int, default=3, help="how many processes each framework gets (default: 3)")
    parser.add_argument("--seconds", type=float, default=0.05, help="about how long a turn is (default: 0.05)")
    parser.add_argument("--json", metavar="FILE", help="keep all times")
    parser.add_argument("--plot", metavar="FILE", help="draw the ratios to PyTorch")
    parser.add_argument("--write", action="store_true", help="write the table into benchmarks/README.md")
    options = parser.parse_args()
    unknown = [name for name in options.workloads if name not in names]
    if unknown:
        parser.error(f"there is no workload {', '.join(unknown)}; there are {', '.join(names)}")
    options.workloads = options.workloads or names
    if options.plot and not set(options.workloads) & set(WORKLOADS):
        parser.error(f"a plot shows workloads: name one of {', '.join(WORKLOADS)}")
    return options


def _report(results: list[Result], peaks: dict[str, float | str], frameworks: list[str]) -> str:
    """Markdown tables of medians, of their spread, and of ratios; a dash where a framework did not take part."""
    lines = []
    ratios = [(a, b) for a, b in RATIOS if a in frameworks and b in frameworks]
    titles = [*frameworks, *(f"{a} / {b}" for a, b in ratios), "spread"]
    if results:
        lines = ["Medians over all rounds, in brackets the ratio to PyTorch in the same run. Less is better.", ""]
        lines += [f"| workload | unit | {' | '.join(titles)} |", "| --- " * (len(titles) + 2) + "|"]
    reasons: dict[str, str] = {}
    for result in results:
        cells = []
        torch = result.median("torch")
        for name in frameworks:
            median = result.median(name)
            if median is None:
                cells.append("-")
                reasons[f"{result.workload}, {name}"] = result.missing.get(name, "")
            else:
                cells.append(f"{median:.4g}" + (f" ({median / torch:.2f})" if torch else ""))
        for a, b in ratios:
            mine, other = result.median(a), result.median(b)
            cells.append(f"{mine / other:.2f}" if mine and other else "-")
        lines.append(f"| {result.workload} | {result.unit} | {' | '.join(cells)} | {_spread(result):.0%} |")
    lines += ["", *(f"{result.workload}: {result.description}." for result in results)]
    if results:
        lines += ["", "Spread: the largest distance between the quartiles of a framework, relative to its median."]
    if peaks:
        net = f"a {memory.LAYERS}-layer tanh net of width {memory.WIDTH}, batch {memory.BATCH}, float32"
        lines += ["", f"Peak memory of {net}, forward and backward: growth over the start of a fresh process, in MB."]
        lines += ["", f"| {' | '.join(peaks)} |", "| --- " * len(peaks) + "|"]
        lines.append(f"| {' | '.join(p if isinstance(p, str) else f'{p:.0f}' for p in peaks.values())} |")
    missing = {reason for reason in reasons.values() if reason and reason != "not written for it"}
    lines += ["", *sorted(f"A dash: {reason}." for reason in missing)]
    lines += [f"{name}: {version}" + "  " for name, version in machine().items()]
    return "\n".join(lines).rstrip()


def _spread(result: Result) -> float:
    widths = [0.0]
    for times in result.times.values():
        ordered = sorted(times)
        quarter = len(ordered) // 4
        widths.append((ordered[-1 - quarter] - ordered[quarter]) / ordered[len(ordered) // 2])
    return max(widths)


def _plot(results: list[Result], frameworks: list[str], path: str) -> None:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    colors = colormaps["tab20"].colors  # in pairs, as most of the frameworks come
    figure = Figure(figsize=(1.4 * len(results) + 3, 4.2), layout="constrained")
    axes = figure.add_subplot()
    shown = [name for name in frameworks if any(result.median(name) for result in results)]
    width = 0.8 / len(shown)
    for i, name in enumerate(shown):
        heights = [(result.median(name) or 0) / (result.median("torch") or 1) for result in results]
        color = colors[list(FRAMEWORKS).index(name)]
        axes.bar([x + i * width for x in range(len(results))], heights, width, label=name, color=color)
        for x, height in enumerate(heights):
            if height > TOP:  # the bar ends at the frame
                axes.text(x + i * width, TOP, f"{height:.1f}", ha="center", va="bottom", fontsize=8)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks([x + 0.4 - width / 2 for x in range(len(results))], [result.workload for result in results])
    axes.set(ylabel="time, relative to PyTorch", ylim=(0, TOP))
    figure.legend(loc="outside right upper", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _write(path: str | Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


if __name__ == "__main__":
    main()
