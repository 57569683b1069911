"""What a run tells: its log, its progress, its tables, its report."""
