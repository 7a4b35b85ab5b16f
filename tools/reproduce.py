#!/usr/bin/env python3
"""Train the paper's Tables 3 and 5 at the quickstart's size, and compare the order.

    tools/reproduce.py --dry-run
    tools/reproduce.py --table3 --seeds 1 2 3 --output output/reproduce
    tools/reproduce.py --rows atss_R_50_1x atss_R_50_vfl_1x --iterations 300 --images 500

Every run has a folder of its own under --output. The same command goes on where it was stopped:
finished runs are not repeated, an interrupted one resumes from its last checkpoint. Started several
times, say once a GPU, the processes share the work. The tables are printed, and kept up to date in
report.md under --output.
"""

import argparse
import signal
import sys
from pathlib import Path

from vfnet_d2.paper import reproduce
from vfnet_d2.paper.reproduce_runs import Results, Settings, write_report


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    quick = reproduce.quick_settings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table3", action="store_true", help="only Table 3 (with --table5: both)")
    parser.add_argument("--table5", action="store_true", help="only Table 5")
    parser.add_argument("--rows", nargs="+", default=[], metavar="CONFIG", help="only these rows")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    parser.add_argument("--iterations", type=int, default=quick.iterations, help="%(default)s")
    parser.add_argument("--images", type=int, default=quick.images, help="trained on: %(default)s")
    parser.add_argument("--num-gpus", type=int, default=quick.num_gpus, help="0 for the CPU")
    parser.add_argument("--output", type=Path, default=Path("output/reproduce"), metavar="FOLDER")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and stop")
    return parser.parse_args()


def main() -> int:
    """Do the runs, print the tables; the exit status is 1 if a run failed."""
    # Without this, a killed parent would leave its training behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = parse_arguments()
    wanted = {"Table 3": arguments.table3, "Table 5": arguments.table5}
    titles = [title for title, chosen in wanted.items() if chosen] or list(wanted)
    settings = Settings(arguments.iterations, arguments.images, arguments.num_gpus)
    tables = reproduce.choose_rows(titles, arguments.rows)
    runs = reproduce.plan(tables, arguments.seeds, arguments.output)
    results = Results(arguments.output, settings)
    if arguments.dry_run:
        for run in runs:
            print(f"{run.key}: {results.state(run)}")
        return 0
    failed = False
    for number, (run, outcome) in enumerate(reproduce.execute(runs, results, settings), start=1):
        print(f"[{number}/{len(runs)}] {run.key}: {outcome}", flush=True)
        failed |= outcome.startswith(reproduce.FAILED)
        report = write_report(tables, runs, results)
    print(f"\n{report}")
    return int(failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
