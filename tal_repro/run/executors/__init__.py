"""Where runs are executed. The executor is an explicit choice and never detected."""
