"""Which study this kit reproduces: title, authors, year and the record of its library, for every page that names it."""

TITLE = "Efficient Temporal Action Localization model development practices"
SUBTITLE = "A review and analysis of models and a guide of best methods"
AUTHORS = "a student of Delft University of Technology (TU Delft), named in the record below"
YEAR = 2023
RECORD = "7999191e-4956-4aee-bbcc-a0a8dac5a216"
LINK = f"https://repository.tudelft.nl/record/uuid:{RECORD}"
DATA = "THUMOS14"
