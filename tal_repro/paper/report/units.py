"""What the numbers of the page are in: every unit and term that its tables use, said once."""

from __future__ import annotations

from tal_repro.paper.report.markup import Html, table

UNITS = (
    ("mAP", "%", "mean average precision over classes, over tIoU 0.3 to 0.7; differences are in points"),
    ("AP", "%", "average precision of one class, averaged over the same tIoU"),
    ("tIoU", "1", "temporal intersection over union of a detected and an annotated segment; from 0 to 1"),
    ("Training data", "%", "share of the training videos (TadTR: of its slices) that a model is trained on"),
    ("Duration", "s, min, h", "from start to end of a run's process; each cell names its unit"),
    ("Training time", "s", "as Table 2 of the paper counts it for each model; a machine's own"),
    ("Inference time", "ms", "of one video of the stated length, on the stated machine"),
    ("Input length", "feature steps", "length of a video's sequence of features; 4 frames a step (TadTR: 8)"),
    ("MACs", "GMACs", "10⁹ multiply-accumulate operations of one inference, as fvcore counts them"),
    ("Energy", "Wh, kWh", "counted by the machine's own counters unless marked as estimated; 1 kWh is 1000 Wh"),
    ("Use", "%", "of all processor cores, of the busiest core, or of the GPU, over time"),
    ("± and n", "as the number", "standard deviation over n runs; 'sample' divides by n - 1, 'population' by n"),
    ("R2, p", "1", "coefficient of determination of a fit; probability of a test"),
)  # fmt: skip


def units() -> Html:
    """Return the table of units and terms."""
    return table("Units and terms of this page", ("Quantity", "Unit", "Meaning"), UNITS)
