"""A user's own images, classified by a trained net from a few examples of each class."""
