"""Shadow: a candidate policy on live traffic, beside the one that decides, without any effect on it."""
