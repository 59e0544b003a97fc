"""Annotation files of anybody in, in any unit; checked entries in seconds out, to train from and to score by.

Rules, the same for both:
* Times are seconds; a number written as text is that number.
* An action of no length is left out, and so is one whose end was clamped to the video's end, before its start. Counted.
* An action that reaches beyond its video's end, or repeats another, is kept: protocols decide about it.
* Any other action that ends before it starts, starts before 0, or has no label among the classes is an error.
* Classes are numbered as a definition lists them, else by `label_id`, else by the file's list `classes`, else by the
  order of their names.
* Texts and tables state times by line; a clock's HH:MM:SS.ss is seconds. Files that hold no action are named.
Order of reading: source (which files), json_forms, texts and tables (their lines), rows (to entries), folders, document
(one form of all), classes, entries (of each video); problems are collected on the way.
"""

from tal_repro.annotations.classes import Classes, read_classes
from tal_repro.annotations.document import Document, read_document
from tal_repro.annotations.entries import Action, read_actions, read_duration
from tal_repro.annotations.problems import AMBIGUOUS, EntryReader, Problem
from tal_repro.annotations.source import Source

__all__ = [
    "AMBIGUOUS",
    "Action",
    "Classes",
    "Document",
    "EntryReader",
    "Problem",
    "Source",
    "read_actions",
    "read_classes",
    "read_document",
    "read_duration",
]
