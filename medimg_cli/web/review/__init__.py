"""The page on which findings of the audit are decided."""
