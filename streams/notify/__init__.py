"""Notifications: urgent alerts to webhooks and mailboxes; signed, tried again, kept when nobody takes them."""
