"""One table for each test: each peer's median over the rounds, with its ratio to the best rival."""

import statistics
import sys

from bench import tunnels

# Of all cores, to processes outside the test: from here on a table says so.
OTHERS_MATTER = 0.05


def text_of(value):
    """Three digits, or all before the point"""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def spread(values):
    return f"{text_of(min(values))} to {text_of(max(values))}"


def rows_of(results, bulk):
    """(peer, its figures, its good runs, all its runs), the best first"""
    figure = "gib_per_s" if bulk else "p50_us"
    names = dict.fromkeys(result["peer"] for result in results)
    rows = []
    for name in names:
        runs = [result for result in results if result["peer"] == name]
        good = [run for run in runs if "error" not in run]
        rows.append((name, [run[figure] for run in good], good, runs))
    worst = float("inf")
    return sorted(
        rows,
        key=lambda row: worst if not row[1] else statistics.median(row[1]) * (-1 if bulk else 1),
    )


def best_rival(rows, bulk):
    """The best that people could use instead"""
    rivals = [statistics.median(row[1]) for row in rows if row[1] and row[0] in tunnels.RIVALS]
    return (max if bulk else min)(rivals, default=None)


def median_of(runs, key):
    values = [run[key] for run in runs if key in run]
    return statistics.median(values) if values else None


def ratio(value, best):
    return f"{value / best:.2f}" if value is not None and best else "-"


def cells_of(row, best, best_cpu, bulk):
    name, values, good, runs = row
    if not good:
        return [name, "0", runs[-1]["error"][:70]]
    count = f"{len(good)}" if len(good) == len(runs) else f"{len(good)} of {len(runs)}"
    middle = statistics.median(values)
    cells = [name, count, text_of(middle), ratio(middle, best), spread(values)]
    if not bulk:
        return [*cells, text_of(median_of(good, "p99_us")), text_of(median_of(good, "gib_per_s"))]
    cpu = median_of(good, "cpu_s_per_gib")
    fairness, opening = median_of(good, "fairness"), median_of(good, "opening_ms")
    return [*cells, text_of(cpu), ratio(cpu, best_cpu), text_of(fairness), text_of(opening)]


def print_table(title, results, bulk):
    """
    results  one of each run: {"peer", figures or "error"}
    bulk     more is better; else the figures are those of waiting
    """
    rows = rows_of(results, bulk)
    best = best_rival(rows, bulk)
    cpu = [
        median_of(row[2], "cpu_s_per_gib") for row in rows if row[0] in tunnels.RIVALS and row[2]
    ]
    best_cpu = min((x for x in cpu if x is not None), default=None)
    unit, more = "p50 us", ["p99 us", "GiB/s beside"]
    if bulk:
        unit, more = "GiB/s", ["CPU s/GiB", "CPU x best", "fairness", "opening ms"]
    table = [["peer", "runs", unit, "x best rival", "spread", *more]]
    table += [cells_of(row, best, best_cpu, bulk) for row in rows]
    widths = [max(len(x[i]) for x in table if len(x) == len(table[0])) for i in range(len(table[0]))]
    print(f"\n{title} ({'more' if bulk else 'less'} is better)")
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())
    others = max((x["others"] for x in results if "others" in x), default=0)
    if others > OTHERS_MATTER:
        print(f"(spoiled: programs outside the test had up to {others:.0%} of the cores in a run)")
    sys.stdout.flush()
