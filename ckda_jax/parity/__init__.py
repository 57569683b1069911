"""Comparison of this implementation with recorded outputs of the released one."""
