"""The published numbers (the CSV files of this folder; `results/published` is a link to it), and what reads them."""
