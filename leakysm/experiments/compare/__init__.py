"""Several settings trained on the same seeds and tested on the same episodes, and their paired differences.

`train_all` trains them, `comparison` has the differences, `report` the tables and the picture.
"""
