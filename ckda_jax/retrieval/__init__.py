"""Retrieval: from distances, identities and cameras to scores and rankings."""
