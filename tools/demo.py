#!/usr/bin/env python3
"""Train, evaluate and draw the quickstart through the project's own commands (``make demo``).

tools/demo.py            about six minutes of training on two CPU cores
tools/demo.py --fast     about two
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tabulate import tabulate

from vfnet_d2.evaluation.history import last_result
from vfnet_d2.evaluation.learning_curve import draw_learning_curve

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str) -> None:
    """Run a command of the project as a user would; stop with its status if it fails."""
    shown = " ".join(["python", *command])
    print(f"\n$ {shown}", flush=True)
    status = subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode
    if status:
        sys.exit(f"demo: `{shown}` failed with exit status {status}; its last lines say why")


def main() -> None:
    """Train with evaluation, draw pictures, and say what came out and where it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="the two-minute variant")
    parser.add_argument("--output", default="output/demo", help="folder of everything it writes")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config overrides")
    arguments = parser.parse_args()
    name = "vfnet_shapes_fast" if arguments.fast else "vfnet_shapes"
    config, output = f"configs/quick/{name}.yaml", Path(arguments.output)
    weights = output / "model_final.pth"
    common = ["--config-file", config]
    run("train_net.py", *common, "--num-gpus", "0", "OUTPUT_DIR", str(output), *arguments.opts)
    pictures = output / "pictures"
    options = ["--output", str(pictures), "--scale", "3", "MODEL.WEIGHTS", str(weights)]
    run("tools/visualize.py", *common, *options, *arguments.opts)
    curve = draw_learning_curve(ROOT / output / "metrics.json", ROOT / pictures / "curve.png")
    report(ROOT / output, ROOT / pictures, curve)


def report(output: Path, pictures: Path, curve: Path) -> None:
    """Print the AP table and where the results are."""
    result = last_result(output / "metrics.json")
    print("\nBox AP on the validation set:\n")
    print(tabulate([list(result.values())], headers=list(result), floatfmt=".1f"))
    places = {
        "pictures": f"{pictures / 'overview.png'} and {len(list(pictures.glob('*.png'))) - 2} more",
        "learning curve": curve,
        "checkpoint": output / "model_final.pth",
        "log": output / "log.txt",
    }
    print()
    for label, place in places.items():
        print(f"{label + ':':16}{place}")


if __name__ == "__main__":
    main()
