"""The border control centre's console: alerts reach people, and what they find goes back (docs/console.md)."""
