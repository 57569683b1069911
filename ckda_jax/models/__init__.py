"""Models: Flax modules that return what they computed and everything on the way."""
