"""Workflows, issue forms and CITATION.cff against the schemas in check-jsonschema's wheel: make lint-github."""

from __future__ import annotations

import datetime
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = "check_jsonschema/builtin_schemas/vendor/"
CHECKED = {  # files -> the schema of their kind
    ".github/workflows/*.yml": "github-workflows.json",
    ".github/ISSUE_TEMPLATE/config.yml": "github-issue-config.json",
    ".github/ISSUE_TEMPLATE/[!c]*.yml": "github-issue-forms.json",
    "CITATION.cff": "citation-file-format.json",
}


def main(wheel: str) -> int:
    """Print every difference; return 1 where there is one."""
    wrong, checked = [], 0
    with zipfile.ZipFile(wheel) as archive:
        for pattern, name in CHECKED.items():
            validator = jsonschema.validators.validator_for({})(json.loads(archive.read(SCHEMAS + name)))
            for path in sorted(ROOT.glob(pattern)):
                checked += 1
                wrong += [f"{path.relative_to(ROOT)}: {_told(error)}" for error in validator.iter_errors(_read(path))]
    print("\n".join(wrong) or f"{checked} files are as their schemas want them")
    return 1 if wrong or not checked else 0


def _read(path: Path) -> Any:
    """Read YAML as GitHub does: `on` is a word there, and a date is text."""
    return _as_words(yaml.safe_load(path.read_text(encoding="utf-8")))


def _as_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {"on" if key is True else key: _as_words(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_words(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


def _told(error: jsonschema.ValidationError) -> str:
    return f"{'/'.join(map(str, error.absolute_path)) or 'the whole'}: {error.message[:200]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
