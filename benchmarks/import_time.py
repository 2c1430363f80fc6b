"""What `import gridless` (and its names) adds to `import torch`: median of 7 pairs of fresh interpreters, alternating.

python benchmarks/import_time.py [--json FILE]
"""

import json
import statistics
import subprocess
import sys
import time

TORCH = "import torch"
BARE = "import torch, gridless"
NAMES = "import torch, gridless as gl; gl.FieldModel, gl.Samples, gl.preset"


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main() -> None:
    from gridless.training.provenance import commit, hardware

    for code in (TORCH, NAMES):  # warm the disk cache
        seconds(code)
    rounds = [{code: seconds(code) for code in (TORCH, BARE, NAMES)} for _ in range(7)]
    added = {code: [r[code] - r[TORCH] for r in rounds] for code in (BARE, NAMES)}
    out = {
        "benchmark": "import_time",
        "commit": commit(),
        "hardware": hardware(),
        "import_torch_s": round(statistics.median(r[TORCH] for r in rounds), 3),
        "added_by_import_s": round(statistics.median(added[BARE]), 3),
        "added_by_names_s": round(statistics.median(added[NAMES]), 3),
        "spread_s": [round(min(added[BARE]), 3), round(max(added[BARE]), 3)],
    }
    print(
        f"import torch {out['import_torch_s']} s; gridless adds {out['added_by_import_s']} s, "
        f"with FieldModel, Samples and preset {out['added_by_names_s']} s"
    )
    line = json.dumps(out)
    if "--json" in sys.argv:
        with open(sys.argv[sys.argv.index("--json") + 1], "w", encoding="utf-8") as file:
            file.write(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
