"""The fixed adversarial cases, one file a family of operations.

Their names are for ever: reference vectors are known by them.
"""
