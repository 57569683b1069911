"""Tests of what a run tells."""
