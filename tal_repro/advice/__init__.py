"""Would more labelled videos pay? From a study's finished runs to a forecast, its decisions and plain sentences."""
