"""What a user may write: registries, sections, value types, and one message a mistake."""
