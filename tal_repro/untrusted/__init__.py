"""The door for files from others: bounded bytes, strict JSON and CSV come in; text for terminals and sheets goes out.

Archives are unpacked in `data/fetch` and in `run/archive`, checkpoints read in `models/checkpoint_io`.

Every refusal is an InputError that names file, place and remedy. Nothing below this package but `errors`.
"""

from tal_repro.untrusted.output import csv_cell, printable, short
from tal_repro.untrusted.reading import MAX_BYTES, decode, read_bytes, read_end, refuse_all
from tal_repro.untrusted.strict_csv import check_columns, csv_records, parse_csv_rows, read_csv_rows
from tal_repro.untrusted.strict_json import MAX_DEPTH, is_number, parse_json_object, read_json_object

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "check_columns",
    "csv_cell",
    "csv_records",
    "decode",
    "is_number",
    "parse_csv_rows",
    "parse_json_object",
    "printable",
    "read_bytes",
    "read_csv_rows",
    "read_end",
    "read_json_object",
    "refuse_all",
    "short",
]
