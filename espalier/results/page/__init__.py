"""The pages of a study and of the zoo, and the status line."""
