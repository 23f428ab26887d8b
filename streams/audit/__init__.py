"""The audit trail: hash chains that tell of any record edited, dropped, inserted or moved after it was sealed."""
