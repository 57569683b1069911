"""Losses: plain functions from arrays to one value per example."""
