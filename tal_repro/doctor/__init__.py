"""What a machine lacks for a study, and what to do about it: `tal-repro doctor`. It only looks."""
