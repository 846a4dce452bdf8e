"""The JSON schema of a bench file, for editors that complete and check it.

``python -m instruments.bench_schema`` writes it anew after a change of the models.
"""

from __future__ import annotations

import json
from pathlib import Path

from instruments.bench_file import BenchFile

PATH = Path(__file__).with_name("bench.schema.json")


def schema() -> str:
    """The schema as it must stand in the file."""
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(found | BenchFile.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(schema(), encoding="utf-8")
