"""A minute or two of computing on a card before a study is paid for: `tal-repro gpu-check`. It needs no data.

Order of reading: exercise (a process on the card), evidence (the processes, under the sampler), judge (what it shows,
as the doctor's findings), untried (what no GPU has run yet), report (what is kept). How many runs fit on a card is
the runner's matter: run/room.
"""
