"""The paper's numbers: published tables and runs in; verdicts, tables, figures and the report page out."""
