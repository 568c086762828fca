"""Train the domain model that ships with the package, say how good it is, and with --write put it in its place.

python benchmarks/domain_model.py [--write]
"""

from __future__ import annotations

import argparse
import json
import platform
import time

from so8t.build.data.collect import DOMAIN_MODEL, train_domain_model
from so8t.build.steps import written_requests
from so8t.core.config import load_config
from so8t.core.files import write_bytes
from so8t.core.packaged import packaged
from so8t.core.types import Split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    requests = written_requests(load_config("tiny"))
    begin = time.perf_counter()
    model, facts = train_domain_model(requests)
    seconds = time.perf_counter() - begin
    held = [s for s in requests if s.split == Split.VALIDATION]
    right = sum(model.classify(s.text)[0] == s.domain for s in held) / len(held)
    begin = time.perf_counter()
    for sample in requests:
        model.classify(sample.text)
    rate = len(requests) / (time.perf_counter() - begin)
    data = model.to_bytes()
    if options.write:
        write_bytes(packaged("models", DOMAIN_MODEL), data)
    print(json.dumps({
        **facts, "requests_validation_accuracy": round(right, 4), "train_seconds": round(seconds, 1),
        "texts_per_second": round(rate), "bytes": len(data), "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }, ensure_ascii=False))  # fmt: skip


if __name__ == "__main__":
    main()
