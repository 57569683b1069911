"""Datasets on disk: what they hold, what makes a batch, how images are read."""
