"""Planted mistakes, written without a look at the suite's cases, and a judge that shares no code with the package."""
