"""The risk domain that the four steps decide with."""
