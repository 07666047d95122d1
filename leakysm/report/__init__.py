"""A run or an experiment as one HTML page without other files, with sliders for threshold and slope."""
