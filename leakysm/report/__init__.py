"""A run or an experiment as one HTML page that needs nothing else, with the effect to play with."""
