"""Several settings trained on the same seeds and tested on the same episodes, and their paired differences."""
