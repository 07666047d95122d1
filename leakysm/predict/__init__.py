"""A user's own images classified from a few examples of each class.

`predict` classifies, `picture` draws each image beside examples of its nearest class.
"""
